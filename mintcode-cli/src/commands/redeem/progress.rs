//! What is seen while vouchers are redeemed: a live line for each on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::{codes, output};

/// All lines.
pub(super) struct Progress {
    screen: Option<MultiProgress>,
    total: usize,
}

/// The line of one voucher.
pub(super) struct Line {
    name: String,
    bar: Option<ProgressBar>,
    countdown: Option<JoinHandle<()>>,
    said: String,
}

impl Progress {
    pub(super) fn start(total: usize) -> Self {
        Self { screen: output::is_watched().then(MultiProgress::new), total }
    }

    /// The line of voucher number `index`, from 0. It shows the voucher's mask, never its code.
    pub(super) fn line(&self, index: usize, code: &str) -> Line {
        let mask =
            codes::read_any(code).map_or_else(|_| "not a code".to_owned(), |code| code.mask().to_string());
        let name = if self.total > 1 { format!("{}. {mask}", index + 1) } else { mask };
        let bar = self.screen.as_ref().map(|screen| {
            let bar = screen.add(ProgressBar::new_spinner().with_prefix(name.clone()));
            bar.set_style(style("{spinner:.green} {prefix}  {msg}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Line { name, bar, countdown: None, said: String::new() }
    }

    /// Lets `print` write to a terminal that shows live lines.
    pub(super) fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.screen {
            Some(screen) => screen.suspend(print),
            None => print(),
        }
    }

    /// Takes the live lines off the screen.
    pub(super) fn clear(&self) {
        if let Some(screen) = &self.screen {
            // A terminal that is gone has nothing to be cleared.
            let _ = screen.clear();
        }
    }
}

impl Line {
    /// Shows `text`.
    pub(super) fn say(&mut self, text: &str) {
        self.tell(text, None);
    }

    /// Shows `text`, and counts down the time that is left.
    pub(super) fn tell(&mut self, text: &str, left: Option<Duration>) {
        if let Some(countdown) = self.countdown.take() {
            countdown.abort();
        }
        let Some(bar) = &self.bar else {
            if self.said != text {
                text.clone_into(&mut self.said);
                eprintln!("{}: {text}", self.name);
            }
            return;
        };
        match left {
            Some(left) => self.countdown = Some(tokio::spawn(count_down(bar.clone(), text.to_owned(), left))),
            None => bar.set_message(text.to_owned()),
        }
    }

    /// Shows how it ended.
    pub(super) fn end(mut self, text: &str, is_good: bool) {
        if self.bar.is_none() {
            self.say(text);
        } else if let Some(countdown) = self.countdown.take() {
            countdown.abort();
        }
        if let Some(bar) = self.bar {
            bar.set_style(style(if is_good { "{prefix}  {msg:.green}" } else { "{prefix}  {msg:.red}" }));
            bar.finish_with_message(text.to_owned());
        }
    }
}

async fn count_down(bar: ProgressBar, text: String, left: Duration) {
    let end = Instant::now() + left;
    let mut every = interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let seconds = end.saturating_duration_since(Instant::now()).as_secs();
        bar.set_message(format!("{text} ({}:{:02})", seconds / 60, seconds % 60));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
