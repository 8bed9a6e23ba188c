//! Chinese.

use mintcode_core::redemption::{FailureKind, Status};

use super::{PageTexts, ProblemText, StatusText};
use crate::error::Slug;

pub(super) const PAGE: PageTexts = PageTexts {
    brand: "薄荷码工坊",
    slogan: "薄荷一下，秒速出码 · 一码即兑，立即交付",
    redeem_title: "兑换卡密",
    code_label: "您的兑换码",
    code_hint: "直接粘贴即可，空格、连字符和大小写都不影响。多个兑换码请每行一个。",
    redeem: "立即兑换",
    how_title: "使用步骤",
    how: [
        "粘贴兑换码，系统立刻为您取得一个手机号。",
        "在需要验证的地方填写该号码，并发送验证码。",
        "验证码会显示在这里；没有收到验证码，兑换码不会被消耗。",
    ],
    begun_title: "正在兑换",
    refused_title: "未能兑换",
    open_progress: "查看进度",
    open_all: "查看全部进度",
    progress_title: "兑换进度",
    your_number: "您的号码",
    your_code: "您的验证码",
    message: "短信内容",
    messages: "全部短信",
    voucher: "兑换码",
    time_left: "剩余时间",
    goes_on_in: "继续倒计时",
    again_in: "可重试倒计时",
    copy_number: "复制号码",
    copy_code: "复制验证码",
    copied: "已复制",
    another_number: "这个号码不能用",
    give_up: "放弃",
    try_again: "再试一次",
    followed: "前往下一次兑换",
    redeem_another: "兑换其他卡密",
    go_back: "返回",
    problem_type: "问题",
    terms: "服务条款",
    support: "客服",
    language: "语言",
};

pub(super) fn status(status: Status) -> StatusText {
    let (headline, next) = match status {
        Status::Queued => ("兑换码已受理。", "接下来为您取得号码。"),
        Status::Ordering => ("正在为您取得号码……", "通常只需几秒钟。"),
        Status::WaitingSms => {
            ("正在等待短信。", "请在需要验证的地方填写该号码并发送验证码，验证码会自动显示在这里。")
        }
        Status::CoolingDown => ("稍等片刻。", "稍后会自动继续取号，您无需操作。"),
        Status::Releasing => ("正在退还号码。", "如果此时短信到达，验证码仍会交付给您。"),
        Status::Delivered => ("这是您的验证码。", "该号码之后收到的短信也会显示在这里。"),
        Status::Failed => ("这次没有收到验证码。", "兑换码没有被消耗。"),
        Status::Cancelled => ("您已放弃本次兑换。", "兑换码没有被消耗，仍然有效。"),
    };
    StatusText { headline, next }
}

pub(super) fn failure(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::OutOfStock => "目前没有可用号码。请稍后再试，或联系客服。",
        FailureKind::NoSms => "该号码没有收到短信。请再试一次，系统会更换号码。",
        FailureKind::TemporarilyUnavailable => "暂时无法取得号码。请几分钟后再试。",
        FailureKind::Deadline => "未能在限定时间内取得号码。请再试一次。",
        FailureKind::ContactSupport => "此问题需要运营者处理。请联系客服；您的兑换码没有被消耗。",
    }
}

pub(super) fn tries_left(tries: u32) -> String {
    match tries {
        0 => "没有剩余次数。".to_owned(),
        more => format!("还可尝试 {more} 次。"),
    }
}

pub(super) fn too_many_codes(most: usize) -> String {
    format!("一次最多兑换 {most} 个兑换码。请先取出一部分，稍后再兑换。")
}

pub(super) fn wait(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("请在 {seconds} 秒后重试。"),
        120..=7_199 => format!("请在 {} 分钟后重试。", seconds.div_ceil(60)),
        more => format!("请在 {} 小时后重试。", more.div_ceil(3_600)),
    }
}

pub(super) fn contact(contact: &str) -> String {
    format!("客服：{contact}")
}

pub(super) fn problem(slug: Slug) -> ProblemText {
    let (title, detail) = match slug {
        Slug::VoucherInvalid => {
            ("兑换码无效", "这不是本站的兑换码。请检查是否有误，并完整粘贴您收到的兑换码。")
        }
        Slug::VoucherUsed => {
            ("兑换码已使用", "该兑换码已经交付过验证码。如果是您本人兑换的，请打开当时的兑换页面。")
        }
        Slug::VoucherExpired => ("兑换码已过期", "该兑换码已过有效期。请联系卖家。"),
        Slug::VoucherCancelled => ("兑换码已作废", "卖家已收回该兑换码。请联系卖家。"),
        Slug::VoucherBusy => {
            ("兑换码正在使用", "该兑换码正在别处兑换。请回到原来的页面继续，或几分钟后再试。")
        }
        Slug::CoolingDown => ("请稍等片刻", "同一兑换码两次兑换之间需要短暂间隔，兑换码仍然有效。"),
        Slug::TooManyRequests => {
            ("兑换过于频繁", "最近一小时兑换的数量已达上限。该兑换码仍然有效，也没有消耗次数。")
        }
        Slug::DailyLimit => ("今日已达上限", "今天兑换的数量已达上限。该兑换码仍然有效，也没有消耗次数。"),
        Slug::NotOffered => ("不提供该服务", "本站不提供该服务的验证码。兑换码没有被消耗，请联系客服。"),
        Slug::RedemptionsExhausted => ("次数已用完", "该兑换码的尝试次数已用完。请联系客服恢复。"),
        Slug::NotReady => ("验证码尚未到达", "验证码还没有收到，请稍后再查询。"),
        Slug::RedemptionFailed => ("未收到验证码", "本次兑换没有收到验证码，兑换码没有被消耗。请重新兑换。"),
        Slug::Purged => ("验证码已清除", "验证码当时已送达，之后已被清除：号码和短信只保留一段时间。"),
        Slug::InFlight => ("仍在处理中", "同一请求正在处理。请稍后再次发送以取得结果。"),
        Slug::BatchSealed => ("批次已封存", "该批次的兑换码不能再下载。如已遗失，请重新生成一批。"),
        Slug::ActionNotAllowed => ("当前无法操作", "目前的状态不允许此操作。请查看最新状态后再决定。"),
        Slug::IdempotencyMismatch => {
            ("幂等键重复", "该 Idempotency-Key 已用于另一个请求。新的请求请使用新的键。")
        }
        Slug::InvalidRequest => {
            ("请求无效", "请求内容不符合要求，errors 列出了需要修改的字段。没有执行任何操作。")
        }
        Slug::NotFound => ("未找到", "这里没有内容，请检查地址。"),
        Slug::MethodNotAllowed => ("方法不允许", "该地址不接受此方法，可用的方法见 Allow 响应头。"),
        Slug::Unauthorized => {
            ("密钥缺失或错误", "请在请求头中发送运营者密钥：Authorization: Bearer 加密钥。")
        }
        Slug::Unavailable => ("暂时不可用", "暂时无法处理该请求。没有任何损失，也没有消耗次数。"),
        Slug::Internal => ("系统出错", "系统内部出错，已记录。没有任何损失，请重试，或把请求编号告诉客服。"),
    };
    ProblemText { title, detail }
}
