//! Taking vouchers back, and giving them time and tries.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use mintcode_core::engine::SupportError;
use mintcode_core::ports::Clock;
use mintcode_core::span;
use mintcode_core::voucher::{VoidReason, Voucher, VoucherHash, VoucherState};

use super::{Desk, Which, shown};
use crate::exit::{Failure, chain};
use crate::system::SystemClock;
use crate::{output, time};

/// How many vouchers an error names.
const NAMED: usize = 2;

#[derive(Args)]
#[command(after_help = "\
A voucher that is being redeemed is cancelled when that ends without a code, and the redemption is asked to stop. A \
fulfilled one cannot be taken back.
Examples:
  mintcode voucher void 4QZ9-… --reason refunded
  mintcode voucher void - --reason lost < codes.txt")]
pub(crate) struct VoidArguments {
    /// Why, in your words.
    #[arg(long, value_name = "TEXT", default_value_t)]
    reason: VoidReason,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
#[command(group(ArgGroup::new("end").required(true).args(["expires_at", "expires_in"])))]
#[command(after_help = "\
Examples:
  mintcode voucher extend 4QZ9-… --expires-in 30d
  mintcode voucher extend ABCD****WXYZ --expires-at 2026-12-31T23:59:59Z")]
pub(crate) struct ExtendArguments {
    /// When it stops being good, in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::moment)]
    expires_at: Option<DateTime<Utc>>,
    /// How long from now it is good, such as 30d.
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
#[command(after_help = "\
For vouchers that are not being redeemed.
Example:
  mintcode voucher reset 4QZ9-…")]
pub(crate) struct ResetArguments {
    #[command(flatten)]
    which: Which,
}

pub(super) async fn void(arguments: &VoidArguments, config: Option<&Path>) -> Result<(), Failure> {
    let VoidArguments { reason, which } = arguments;
    let desk = Desk::open(&which.database, config).await?;
    let work = async |voucher| desk.support.void(voucher, reason.clone()).await;
    let told = |voucher: &Voucher| match voucher.state {
        VoucherState::Cancelled => format!("is cancelled ({})", voucher.void.clone().unwrap_or_default()),
        _ => {
            "is being redeemed: that is asked to stop, and without a code the voucher is cancelled".to_owned()
        }
    };
    change(&desk, which, "taken back", work, told).await
}

pub(super) async fn extend(arguments: &ExtendArguments, config: Option<&Path>) -> Result<(), Failure> {
    let ExtendArguments { expires_at, expires_in, which } = arguments;
    let from_now = expires_in.map(|life| SystemClock.now() + life);
    let end =
        expires_at.or(from_now).ok_or_else(|| Failure::usage("--expires-at or --expires-in is needed"))?;
    let desk = Desk::open(&which.database, config).await?;
    let work = async |voucher| desk.support.extend(voucher, end).await;
    let told = |voucher: &Voucher| {
        let end = voucher
            .expires_at
            .map_or_else(|| "for ever".to_owned(), |end| format!("until {} UTC", time::shown(end)));
        format!("is {} and good {end}", voucher.state.name())
    };
    change(&desk, which, "extended", work, told).await
}

pub(super) async fn reset(arguments: &ResetArguments, config: Option<&Path>) -> Result<(), Failure> {
    let which = &arguments.which;
    let desk = Desk::open(&which.database, config).await?;
    let work = async |voucher| desk.support.reset(voucher).await;
    let told = |voucher: &Voucher| format!("is {} and has all its tries back", voucher.state.name());
    change(&desk, which, "reset", work, told).await
}

/// Does `work` on every voucher that was named, shows those it was done on, and fails if there are others.
async fn change(
    desk: &Desk,
    which: &Which,
    done: &str,
    work: impl AsyncFn(VoucherHash) -> Result<Voucher, SupportError>,
    told: impl Fn(&Voucher) -> String,
) -> Result<(), Failure> {
    let mut changed = Vec::new();
    let mut refused = Vec::new();
    for trail in desk.find(&which.codes).await? {
        let mask = trail.voucher.mask;
        match work(trail.voucher.hash).await {
            Ok(voucher) => changed.push(voucher),
            Err(SupportError::NotAllowed { state, .. }) => {
                refused.push(format!("{mask} is {state} and cannot be {done}"));
            }
            Err(error) => refused.push(format!("{mask} is not {done}: {}", chain(&error))),
        }
    }
    if which.json {
        output::json(&changed.iter().map(shown::voucher).collect::<Vec<_>>())?;
    } else {
        output::lines(changed.iter().map(|voucher| format!("{} {}", voucher.mask, told(voucher))))?;
    }
    match refused.len() {
        0 => Ok(()),
        count => {
            if count > NAMED + 1 {
                refused.truncate(NAMED);
                refused.push(format!("and {} more", count - NAMED));
            }
            Err(Failure::work(refused.join("\n")))
        }
    }
}
