//! Who signs the messages that are withheld: banks, wallets and exchanges.
//!
//! A name that means nothing else (`ANYWHERE`) is looked for in the sender and in the text. A name that is also a word
//! or a few letters of any token is taken only where a signature stands: as the whole sender (`AS_SENDER`) or at the
//! beginning of the text before its first mark (`AS_SIGNATURE`).

/// Banks by names that mean nothing else.
pub(super) const BANKS_ANYWHERE: &str = r"
    \b(?:bofa|bank\ of\ america|wells\ ?fargo|jp\ ?morgan|capital\ one|american\ express|amex|citibank|citi\ id
        |hsbc|barclay(?:s|card)|lloyds|natwest|nationwide\ bs|santander|monzo|monese|starling\ bank|bbva|n26|bnp\ ?paribas
        |boursorama|commerzbank|sparkasse|truist|schwab|robinhood|raiffeisen\w*|unicredit|intesa|swedbank|nordea|nubank|bradesco|ita[uú]\ unibanco
        |hdfc|icici|kotak|(?:online|yono\ )sbi|maybank|cimb|bank\ mandiri|tangerine\ bank|scotiabank|westpac|commbank
        |sberbank|tinkoff|t-bank|gazprombank|sovcombank|privat\ ?24|privatbank|monobank|kaspi|halyk)\b
    | \b(?:сбер(?:банк\w*|\ ?онлайн|\ ?pay|\ ?пэй)|тинькофф\w*|т-?банк\w*|втб|vtb|альфа-?\ ?(?:банк|мобайл|онлайн|клик)\w*
        |газпромбанк\w*|райффайзен\w*|почта\ банк\w*|(?:ozon|озон|мтс|яндекс|wildberries|wb)\ ?банк\w*|банк\ открытие
        |приват\ ?24|монобанк\w*|каспи|халык)\b
    | (?:工商|建设|建設|农业|農業|交通|招商|中国|中國|邮政储蓄|邮储|民生|兴业|浦发|浦發|中信|光大|华夏|广发|平安|北京|上海|微众|网商
        |台新|国泰世华|國泰世華|玉山|渣打|恒生|恆生)(?:银行|銀行)(?:\W|$|信用|储蓄|卡|客户|手机|个人)
    | [\[【]\ ?(?:工行|建行|农行|中行|招行|交行|邮储|浦发|滙豐|汇丰|匯豐|恒生|恆生|中國信託|國泰世華|玉山|台新|渣打|掌上生活)[^\]】]{0,8}[\]】]";

/// Whatever calls itself a bank, in the three languages. A power bank is none.
pub(super) const BANKS_BY_FORM: &str = r"
    ^\W*(?-i:(?:[A-Z][\w.&']*\ ){0,3}[A-Z][\w.&']*[a-qs-z.]\ Bank\b) | ^\W*\w*[a-qs-z]bank\ ?:
    | [-.:]\ *(?-i:(?:[A-Z][\w&']*\ ){0,2}[A-Z][\w&']*[a-qs-z]\ Bank)\.?\ *$ | (?-i:\bBank\ of\ (?:the\ )?[A-Z])
    | \b(?:your|from|by)\ (?:[\w.&']+\ ){1,3}bank\ (?:card|account|code|credit|debit|otp|app|login|verification)\b
    | \b\w{2,}[а-пс-я]банк(?:а|е|у|ом)?\b | \bбанк\ « | ^\W*банк\ (?-i:[А-ЯA-Z])
    | [\[【][^\]】]{0,12}(?:银行|銀行)[^\]】]{0,8}[\]】] | ^\W*\w{2,8}(?:银行|銀行)\W";

/// Banks at the beginning of a text.
pub(super) const BANKS_AS_SIGNATURE: &str = r"
    ^\W*(?:chase|citi|dbs|posb|ocbc|uob|sbi|pnc|ing|usaa|td|rbc|bmo|anz|nab|bca|bri|bni|vtb|сбер|sber|ally)\ *(?:\]|:|-|\ online\b|\ bank\b)
    | \bchase\ (?:online|bank|mobile|card|code|account|verification)\b
    | \b(?:your|to|for|from)\ (?:citi|chase|chime|varo|sofi|usaa|revolut|monzo)\ (?:one-time\ )?(?:code|account|card|verification|otp|app|login)\b";

/// Banks as the whole sender, with the operator's prefix that Indian senders carry.
pub(super) const BANKS_AS_SENDER: &str = r"
    ^(?:chase|citi|dbs|posb|ocbc|uob|pnc|ing|usaa|chime|varo|sofi|bmo|anz|nab|bca|bri|bni|ctbc|sber|сбер|icbc|ccb|boc|cmb)$
    | ^(?:[a-z]{2}-)?(?:hdfcbk|hdfcbn|icicib|icicit|icicio|axisbk|sbi(?:inb|psg|otp|upi|crd)|atmsbi|cbssbi|kotakb|pnbsms|boiind
        |canbnk|unionb|idfcfb|yesbnk|yesbkl|indusb|fedbnk|bobtxn|bobsms|centbk)(?:-[a-z])?$
    | ^955(?:88|33|99|66|55|59|58|68|28|61|77|95|08|80|26|27|74)$
    | (?:^|[a-qs-z]\ ?)bank(?:\ ?(?:alerts?|info|otp|sms|uk|us))?$ | ^bank\b | (?:^|[а-пс-я]\ ?)банк$ | 银行|銀行";

/// Wallets, payment services and exchanges by names that mean nothing else.
pub(super) const WALLETS_ANYWHERE: &str = r"
    \b(?:paypal|revolut|venmo|zelle|cash\ ?app|coinbase|binance|bybit|kucoin|huobi|bitget|bitstamp|bitfinex|crypto\.com|gate\.io|mexc
        |metamask|alipay\w*|klarna|afterpay|skrill|neteller|payoneer|payeer|advcash|paysafe(?:card)?|perfect\ money|webmoney
        |western\ union|moneygram|remitly|worldremit|transferwise|paysend|paysera|paytm|phonepe|mobikwik|g-?cash|paymaya|bkash
        |m-?pesa|easypaisa|jazzcash|truemoney|touch\ ?'?n\ ?go|mercado\ ?pago|picpay|pagseguro|papara|ininal
        |(?:google|apple|samsung|huawei|mi|line|kakao|naver|grab|shopee|amazon|wechat|mir|yandex|sber)\ ?pay|tenpay|union\ ?pay|bitcoin\ wallet)\b
    | \b(?:юmoney|ю-?мани|yoomoney|яндекс[.\ ]?(?:деньги|пэй|pay)|qiwi|киви-?\ ?(?:кошел\w+|банк\w*)|вебмани|золотая\ корона|юнистрим|юкасса)\b
    | 支付宝|支付寶|微信支付|微信零钱|财付通|財付通|云闪付|雲閃付|中国银联|银联在线|花呗|借呗|余额宝|零钱通|蚂蚁财富|(?:京东|抖音|美团|翼|度小满|苏宁|国美|滴滴|拼多多|多多|快手)(?:支付|金融|白条|钱包|月付)
    | 和包支付|拉卡拉|街口支付|悠遊付|全支付|八達通|八达通|轉數快|转数快|币安|幣安|欧易|歐易|火币|火幣";

/// Wallets and exchanges by names that are words too.
pub(super) const WALLETS_AS_SIGNATURE: &str = r"
    ^\W*(?:wise|stripe|okx|okex|htx|kraken|gemini|affirm|dana|ovo|toss)\ *(?:\]|:|-)
    | \b(?:your|is\ your|to\ your|into|for|from)\ (?:wise|stripe|okx|kraken|gemini\ exchange|affirm|payme)\ (?:\w+\ ){0,2}(?:code|account|card|app|log-?in|otp|payment|transfer|balance)\b";

/// Wallets and exchanges as the whole sender.
pub(super) const WALLETS_AS_SENDER: &str = r"
    ^(?:wise|stripe|okx|okex|htx|kraken|affirm|payme|dana|ovo|toss|square|95188|sbp|сбп)$";
