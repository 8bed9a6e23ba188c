//! The shipped patterns, in the order they are tried.
//!
//! Written in the verbose syntax of the `regex` crate: blanks and line ends mean nothing, `\ ` is a blank. They are
//! matched without regard to case, on folded text from which warnings and offers were taken away; `.` matches a line
//! end too. Inside them `<amount>` stands for [`AMOUNT`], and `\w`, `\W` and `\d` know only the letters and digits of
//! [`LETTERS`]: with all of Unicode's, compiling takes four times as long and each message twice. They are to be precise
//! rather than complete: an ordinary code must never be withheld, and a message of a bank usually gives itself away
//! twice.

use regex::{Regex, RegexBuilder};

use super::names;

/// One shipped pattern: matched if any of its parts is found.
pub(super) struct Shipped {
    /// What an operator and the audit log read; never changes its meaning.
    pub(super) name: &'static str,
    /// Parts looked for in the sender.
    pub(super) sender: &'static [&'static str],
    /// Parts looked for in the text.
    pub(super) text: &'static [&'static str],
}

/// An amount of money with its currency.
pub(super) const AMOUNT: &str = r"(?:
    (?:[$£€¥₹₽₴₸₺₩₦฿₱₫] | \b(?:usd|us\$|eur|gbp|chf|inr|rs\.?|rub|uah|kzt|cny|rmb|hkd|hk\$|nt\$|twd|s\$|sgd|a\$|aud|cad|myr|rm|thb|php|idr|jpy|krw|ksh|kes|ngn|aed|brl|r\$|mxn|try|pln)) \ ? \d
    | \d [\d.,\ ]{0,15}? \ ?(?:[$£€¥₹₽₴₸₺₩₦] | (?:usd|eur|gbp|inr|rub|uah|kzt|cny|rmb|hkd|sgd|dollars|euros?|pounds|руб\w*|р|грн|тенге|тг|долл\w*|евро|btc|eth|usdt|usdc|bnb)\b | (?:千|万|萬)?(?:元|圓|港币|美元|人民币))
)";

/// The last digits of a card, as banks write them.
pub(super) const CARD_DIGITS: &str = r"
    \b(?:card|a/?c|acct|account|visa|mastercard)\b[^.,;!?\d]{0,18}\b(?:ending|ends|ended)\b[^.;!?\d]{0,8}\d{3,4}\b
    | \b(?:card|a/?c|acct|visa|mastercard|maestro|карт\w{1,3}|сч[её]т\w{0,3})(?:\ no\.?|\ number)?\W{0,3}(?:[x*•·.…]{1,12}|№)\ ?\d{3,6}\b
    | \byour\ (?:debit\ |credit\ )?card\ \d{4}\b
    | \b(?:visa|ecmc|maes|maestro|mir|мир)[-*•x]{0,4}\d{4}\b | \b(?:card|карт\w{1,3})\ (?:\w+\ )?[*•x]{1,4}\ ?\d{4}
    | (?:尾号|尾號|末四码|末四碼|末四位)(?:为|為|是)?[:*\ ]{0,3}\d{3,4}\ ?(?:的|之)?\ ?[^\d,。;]{0,4}(?:卡|账户|帳戶|帐户|户口)
    | (?:卡|账户|帳戶|帐户)\W{0,2}\ ?(?:\(|（)?(?:尾号|尾號|末四码|末四碼|末四位)[^\d]{0,3}\d{3,4}";

/// What is built in.
pub(super) const SHIPPED: &[Shipped] = &[
    // A bank signs: by a well-known name, or by calling itself a bank.
    Shipped {
        name: "bank",
        sender: &[names::BANKS_AS_SENDER, names::BANKS_ANYWHERE],
        text: &[names::BANKS_ANYWHERE, names::BANKS_AS_SIGNATURE, names::BANKS_BY_FORM],
    },
    // A wallet, a payment service or an exchange signs.
    Shipped {
        name: "wallet",
        sender: &[names::WALLETS_AS_SENDER, names::WALLETS_ANYWHERE],
        text: &[names::WALLETS_ANYWHERE, names::WALLETS_AS_SIGNATURE],
    },
    // The second step of a card payment on the web.
    Shipped {
        name: "three-d-secure",
        sender: &[r"^3-?d-?\ ?s(?:ecure)?$"],
        text: &[
            r"\b3-?\ ?d[-\ ]?s(?:ecure)?\b | verified\ by\ visa | visa\ secure | identity\ check | securecode | safekey | mir\ ?accept
            | \bcvv2?\b | 网络刷卡|網路刷卡|在线支付验证",
        ],
    },
    // A card or an account is named by its last digits.
    Shipped { name: "card-number", sender: &[], text: &[CARD_DIGITS] },
    // Money moves: an amount stands beside a word of payment.
    Shipped {
        name: "payment-amount",
        sender: &[],
        text: &[PAYMENT_AMOUNT_EN, PAYMENT_AMOUNT_RU, PAYMENT_AMOUNT_ZH],
    },
    // A code confirms a payment or a transfer, with no amount named.
    Shipped { name: "payment-code", sender: &[], text: &[PAYMENT_CODE_EN, PAYMENT_CODE_RU, PAYMENT_CODE_ZH] },
    // An account's balance or statement.
    Shipped {
        name: "balance",
        sender: &[],
        text: &[
            r"\b(?:available|avail|avl|acct?|account|closing|ledger)\.?\ (?:bal|balance)\b.{0,20}?<amount>",
            r"\b(?:a/?c|acct)\b.{0,40}\b(?:debited|credited)\b | \b(?:debited|credited)\b.{0,30}\b(?:a/?c|acct|bank\ account|card)\b",
            r"\b(?:credit|debit)\ card\b.{0,30}\b(?:used|charged|purchase|statement|bill|due|limit|transaction|payment)\b | \bminimum\ payment\b",
            r"\b(?:доступно|баланс\ (?:карты|счета)|остаток\ (?:на|по)\ (?:карте|счет\w*))\b.{0,12}?<amount>",
            r"(?:活期|可用|账户|帳戶|存款|当前)(?:余额|餘額).{0,8}\d | (?:信用卡|本期|当期)(?:账单|帳單)",
        ],
    },
    // Signing in to a bank that is not named.
    Shipped {
        name: "online-banking",
        sender: &[],
        text: &[
            r"\b(?:online|internet|mobile|net|phone|telephone|e-?)\ ?-?banking\b",
            r"\bинтернет-?\ ?банк\w* | \bмобильн\w{2,3}\ банк\w* | \bонлайн-?\ ?банк\w* | \bдистанционн\w+\ банк\w*",
            r"(?:手机|手機|网上|網上|电话|電話|掌上|网络|網路|行動|行动|直销)(?:银行|銀行) | 网银|網銀|網上理財|网上理财",
        ],
    },
];

const PAYMENT_AMOUNT_EN: &str = r"
    \b(?:transactions?|txn|transfer(?:red)?|wire|debited|withdr[ae]w\w*|deposited|spend|spent)\b [^.!?;\n]{0,40}? <amount>
    | \b(?:payments?|purchases?|charged?|paid)\b [^.!?;\n]{0,14}? <amount> | \b(?:sent|received|refunded)\ (?:you\ )?<amount>
    | <amount> [\d.,]* [^.!?;\n]{0,25}? \b(?:payment|purchase|transaction|txn|transfer(?:red)?|debited|credited|charged
        |withdr[ae]w\w*|deposited|spent|paid|was\ sent|sent\ to|received|with\ your\ card|on\ your\ card|from\ your\ account)\b
    | \bpay(?:ing)?\ <amount>[\d.,]*\ (?:to|at|for|from)\b | \bcode\ for\ <amount>";

const PAYMENT_AMOUNT_RU: &str = r"
    \b(?:оплат[аыу]|оплачен\w*|плат[её]ж\w*|перев(?:од\w*|ел\w*|ести)|списан\w*|зачислен\w*|пополнен\w*|снятие|выдача
        |поступил\w*|возврат|покупка|операци[яи]\ на\ сумму) [^.!?;\n]{0,40}? <amount>
    | \bпокупк\w+\ на\ (?:сумму\ )?<amount>
    | <amount> .{0,20}? \b(?:оплачен\w*|переведен\w*|списан\w*|зачислен\w*|поступил\w*)";

const PAYMENT_AMOUNT_ZH: &str = r"
    (?:支付|付款|消费|消費|转账|轉帳|轉賬|转出|轉出|转入|轉入|入账|入帳|支出|扣款|还款|還款|提现|提現|收款|汇款|匯款|刷卡|缴费|繳費|到账|存入|取款|贷款|借款)
        [^。!?;\n]{0,20}? <amount>
    | <amount> .{0,12}? (?:支付|付款|消费|消費|转账|轉帳|轉賬|转出|转入|入账|入帳|扣款|提现|提現|汇款|匯款|到账)";

const PAYMENT_CODE_EN: &str = r"
    \b(?:authori[sz]e|approve)\ (?:(?:your|a|an|the|this)\ )?(?:(?:online|card|recent|pending)\ )?(?:payment|transaction|withdrawal)\b
    | \b(?:confirm|verify|complete|code\ for|otp\ for|password\ for)\ (?:(?:your|a|an|the|this)\ )?(?:(?:online|card|recent|pending)\ )?
        (?:payment|transaction|withdrawal)(?:\ (?:of|to|for|at|from|by|with|on|request)\b|\ ?[.:,!]|\ ?$|\ \d)
    | \b(?:otp|code|password|pin)\b [^.!?\n]{0,25} \b(?:txn|transaction|online\ purchase)\b | \bconfirm\ your\ online\ purchase\b
    | \b(?:add|added|adding|new|set\ up)\b [^.!?\n]{0,20} \b(?:payee|beneficiary)\b
    | \b(?:add|enroll?|register|link)\w*\b [^.!?\n]{0,15} \b(?:debit|credit|bank)\ card\b | \bdigital\ wallet\b
    | \b(?:bank|wire|money|funds?|international)\ transfer\b | \btransfer\b .{0,40} \bfrom\ your\ (?:\w+\ )?account\b
    | \b(?:code|otp)\b .{0,15} \b(?:to|for)\ (?:a\ |your\ )?withdraw(?:al)?\b | \bwithdrawal\ (?:request|address|whitelist|code)\w*
    | \b(?:code|otp|passcode)\b [^.!?\n]{0,20} \bto\ (?:move|send|transfer)\ money\b
    | \bupi\b .{0,15} \b(?:pin|txn|ref|mandate|transaction|id)\b";

const PAYMENT_CODE_RU: &str = r"
    \b(?:код|пароль|подтверд\w*|подтвержден\w*)\b [^.!?\n]{0,30} \b(?:оплаты|оплату|платеж[аеу]?|списани\w\ (?:средств|денег|с\ карты|со\ счета))\b
    | \bперевод\w?\ (?:по\ сбп|средств|денег|денежных|на\ карту|на\ счет|со\ счета|с\ карты|клиенту|от\ (?-i:[А-Я]))
    | \b(?:по|через)\ сбп\b | \bденежн\w{2,3}\ перевод | \bодноразов\w{2,3}\ платеж | \bпривязк\w\ (?:банковской\ )?карт\w\ [*•\d]";

const PAYMENT_CODE_ZH: &str = r"
    快捷支付|支付密码|支付密碼|支付验证|支付驗證|付款验证|付款驗證|交易密码|交易验证码|动账|動帳
    | 信用卡|储蓄卡|儲蓄卡|借记卡|扣賬卡|金融卡|(?:绑定|綁定|添加|关联|验证).{0,8}(?:银行卡|銀行卡|卡片)|银行卡.{0,12}(?:支付|付款|转账|交易|签约|消费)
    | (?:用于|用於|进行|進行|正在|确认|確認|办理|申请|申請|发起).{0,6}(?:转账|轉帳|轉賬|付款|支付|提现|提現|还款|汇款|匯款|提币|提幣)
    | (?:转账|轉帳|轉賬|付款|提现|提現|提币|提幣|汇款|匯款)(?:的)?(?:验证码|驗證碼|校验码|动态码|动态密码|確認碼|交易)";

/// Latin, Cyrillic and Chinese letters, and the digits that are left once a text is folded.
const LETTERS: &str = r"0-9a-z_\u00C0-\u024F\u0400-\u04FF\u4E00-\u9FFF";

/// Compiles a shipped pattern.
///
/// # Panics
///
/// If it is no regular expression, which a test rules out for all that is shipped.
pub(super) fn compile(source: &str) -> Regex {
    let source = source
        .replace("<amount>", AMOUNT)
        .replace(r"\w", &format!("[{LETTERS}]"))
        .replace(r"\W", &format!("[^{LETTERS}]"))
        .replace(r"\d", "[0-9]");
    RegexBuilder::new(&source)
        .case_insensitive(true)
        .ignore_whitespace(true)
        .dot_matches_new_line(true)
        .build()
        .unwrap_or_else(|error| panic!("a shipped pattern is a regular expression: {error}"))
}
