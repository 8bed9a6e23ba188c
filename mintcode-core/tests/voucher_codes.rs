//! Voucher codes through the public interface: typos, forgiving reading, tags, keys and batches.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do, the test calling it cannot either")]

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use mintcode_core::voucher::{
    BatchError, BatchNonce, CodeError, Label, MAX_BATCH, Shape, VoucherCode, VoucherKeys, VoucherSecret,
    identify,
};
use proptest::prelude::*;

const SYMBOLS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn secret(name: &str) -> VoucherSecret {
    VoucherSecret::new(&format!("{name:-<32}")).unwrap()
}

fn keys(name: &str) -> VoucherKeys {
    VoucherKeys::new(&secret(name), &[])
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn nonce(seed: u8) -> BatchNonce {
    BatchNonce::from_bytes([seed; 32])
}

fn batch(seed: u8, shape: Shape, count: u32) -> Vec<VoucherCode> {
    let keys = keys("a");
    keys.derive_batch(keys.current_id(), &nonce(seed), &label("TGCA"), shape, count).unwrap().collect()
}

/// The default, the shortest with the tag in front, the longest, tags at the end, an odd one.
fn shapes() -> [Shape; 6] {
    [(32, 6, 8), (23, 6, 0), (64, 4, 30), (64, 12, 51), (29, 12, 16), (41, 7, 3)]
        .map(|(length, tag, at)| Shape::new(length, tag, at).unwrap())
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (21_u8..=64, 4_u8..=12, 0_u8..60)
        .prop_filter_map("no such shape", |(length, tag, at)| Shape::new(length, tag, at).ok())
}

/// A code minted from `bytes` in turn, over and over.
fn minted(shape: Shape, bytes: &[u8]) -> VoucherCode {
    let mut source = bytes.iter().copied().cycle();
    keys("a").label(&label("TGCA")).mint(shape, |target| target.fill_with(|| source.next().unwrap()))
}

proptest! {
    // Each case tries about two thousand wrong codes.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_single_wrong_symbol_and_every_neighbour_swap_is_a_typo(
        shape in any_shape(),
        bytes in prop::array::uniform32(any::<u8>()),
    ) {
        let code = minted(shape, &bytes).reveal();
        for position in 0..code.len() {
            for symbol in SYMBOLS.chars() {
                let mut wrong: Vec<char> = code.chars().collect();
                if std::mem::replace(&mut wrong[position], symbol) != symbol {
                    let read = VoucherCode::parse(&wrong.into_iter().collect::<String>(), &shape);
                    prop_assert_eq!(read, Err(CodeError::Typo), "symbol {}", position);
                }
            }
            let mut swapped: Vec<char> = code.chars().collect();
            if position > 0 && swapped[position - 1] != swapped[position] {
                swapped.swap(position - 1, position);
                let read = VoucherCode::parse(&swapped.into_iter().collect::<String>(), &shape);
                prop_assert_eq!(read, Err(CodeError::Typo), "swap at {}", position);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_mangled_spelling_is_the_same_code(
        shape in any_shape(),
        bytes in prop::array::uniform32(any::<u8>()),
        spelling in prop::collection::vec((0_usize..4, 0_usize..12), 64),
    ) {
        let code = minted(shape, &bytes);
        let blanks = ["", "", "", " ", "-", "–", "－", "\u{3000}", "\u{200B}", "\n", "\u{FEFF}", "−"];
        let mut text = "\u{FEFF} ".to_owned();
        for (symbol, (form, blank)) in code.reveal().chars().zip(spelling) {
            let alike = match (symbol, form) {
                ('0', 1) => 'o',
                ('1', 1) => 'l',
                ('0', 2) => 'Ｏ',
                ('1', 2) => 'I',
                (symbol, 1) => symbol.to_ascii_lowercase(),
                (symbol, 2) => char::from_u32(u32::from(symbol) + 0xFEE0).unwrap(),
                (symbol, 3) => char::from_u32(u32::from(symbol.to_ascii_lowercase()) + 0xFEE0).unwrap(),
                (symbol, _) => symbol,
            };
            text.push(alike);
            text.push_str(blanks[blank]);
        }
        prop_assert_eq!(VoucherCode::parse(&text, &shape), Ok(code));
    }

    #[test]
    fn what_is_minted_is_read_back_and_recognised(shape in any_shape(), bytes in prop::array::uniform32(any::<u8>())) {
        let code = minted(shape, &bytes);
        let keys = keys("a");
        for group in [0, 1, 4, 5, 100] {
            let read = VoucherCode::parse(&code.grouped(group), &shape).unwrap();
            prop_assert_eq!(keys.label(&label("TGCA")).matches(&read), Some(keys.current_id()));
            prop_assert_eq!(keys.lookup_hash(&read), keys.lookup_hash(&code));
        }
    }

    #[test]
    fn reading_any_text_at_all_is_an_answer(text in any::<String>()) {
        let _ = VoucherCode::parse(&text, &Shape::default());
    }
}

#[test]
fn what_is_no_code_gets_a_reason_that_does_not_repeat_it() {
    let shape = Shape::default();
    let parse = |text: &str| VoucherCode::parse(text, &shape);
    assert_eq!(parse(""), Err(CodeError::Empty));
    assert_eq!(parse(" -- \u{200B}\n"), Err(CodeError::Empty));
    assert_eq!(parse("ABCD"), Err(CodeError::WrongLength { expected: 32, found: 4 }));
    assert_eq!(parse(&"0".repeat(1000)), Err(CodeError::WrongLength { expected: 32, found: 1000 }));
    assert_eq!(parse("AB-CU"), Err(CodeError::BadSymbol { position: 4, symbol: 'U' }));
    assert_eq!(parse(&format!("{}1", "0".repeat(31))), Err(CodeError::Typo));
    assert!(!parse("SECRETC0DE,").unwrap_err().to_string().contains("SECRET"));
}

#[test]
fn vouchers_of_one_label_share_nothing_visible() {
    for shape in shapes() {
        let codes: Vec<Vec<u8>> =
            batch(1, shape, 200).iter().map(|code| code.reveal().into_bytes()).collect();
        for position in 0..shape.length() {
            let symbols: HashSet<u8> = codes.iter().map(|code| code[position]).collect();
            // Of 32 symbols, 200 draws leave out fewer than eight unless something is fixed.
            assert!(symbols.len() > 24, "{shape:?} position {position}: {symbols:?}");
        }
        let tags: HashSet<&[u8]> = codes.iter().map(|code| &code[shape.label_pos()..][..4]).collect();
        assert!(tags.len() > 195, "{shape:?}");
    }
}

#[test]
fn a_code_belongs_to_its_own_label_and_secret_only() {
    let codes = batch(2, Shape::default(), 500);
    let own = keys("a");
    let foreign = keys("b");
    for code in &codes {
        assert_eq!(own.label(&label("TGCA")).matches(code), Some(own.current_id()));
        assert_eq!(own.label(&label("TGCB")).matches(code), None);
        assert_eq!(own.label(&label("TGC")).matches(code), None);
        assert_eq!(foreign.label(&label("TGCA")).matches(code), None);
        assert_ne!(own.lookup_hash(code), foreign.lookup_hash(code));
    }
}

/// The code of these symbols, its check symbol put right as any forger can.
fn forged(mut symbols: Vec<u8>, shape: Shape) -> VoucherCode {
    let right = SYMBOLS.bytes().find_map(|check| {
        *symbols.last_mut().unwrap() = check;
        VoucherCode::parse(std::str::from_utf8(&symbols).unwrap(), &shape).ok()
    });
    right.unwrap()
}

#[test]
fn a_forged_tag_is_refused_though_the_check_symbol_fits() {
    for shape in shapes() {
        let own = keys("a").label(&label("TGCA"));
        let [code, other] =
            <[_; 2]>::try_from(batch(3, shape, 2)).unwrap().map(|code| code.reveal().into_bytes());
        assert!(own.matches(&forged(code.clone(), shape)).is_some());

        let tag = shape.label_pos()..shape.label_pos() + shape.label_length();
        let mut moved = code.clone();
        moved[tag.clone()].copy_from_slice(&other[tag]);
        assert_eq!(own.matches(&forged(moved, shape)), None, "{shape:?}: another code's tag");
        for position in 0..shape.length() - 1 {
            let mut changed = code.clone();
            changed[position] = if changed[position] == b'0' { b'1' } else { b'0' };
            assert_eq!(own.matches(&forged(changed, shape)), None, "{shape:?}: symbol {position} changed");
        }
    }
}

#[test]
fn identify_names_the_label_and_the_secret() {
    let old = keys("old");
    let rotated = VoucherKeys::new(&secret("new"), &[secret("older"), secret("old"), secret("new")]);
    assert_eq!(rotated.ids(), ["new", "older", "old"].map(|name| secret(name).key_id()));

    let labels: Vec<_> = ["A", "B", "C"].map(|text| rotated.label(&label(text))).into();
    let mint = |keys: &VoucherKeys, text: &str| {
        let mut codes = keys.mint_many(&label(text), Shape::default(), 1, |bytes| bytes.fill(7)).unwrap();
        codes.next().unwrap()
    };
    let (before, after, stranger) = (mint(&old, "B"), mint(&rotated, "C"), mint(&rotated, "D"));
    assert_eq!(identify(&before, &labels), Some((&label("B"), old.current_id())));
    assert_eq!(identify(&after, &labels), Some((&label("C"), rotated.current_id())));
    assert_eq!(identify(&stranger, &labels), None);

    let hashes = rotated.lookup_hashes(&before);
    assert_eq!(hashes[0], (rotated.current_id(), rotated.lookup_hash(&before)));
    assert_eq!(hashes[2], (old.current_id(), old.lookup_hash(&before)));
    assert_eq!(hashes.iter().map(|(_, hash)| hash).collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn a_batch_replays_exactly_whatever_came_after_it() {
    let rotated = VoucherKeys::new(&secret("new"), &[secret("a")]);
    let key = secret("a").key_id();
    for shape in shapes() {
        let codes = batch(4, shape, 300);
        let again = rotated.derive_batch(key, &nonce(4), &label("TGCA"), shape, 300).unwrap();
        assert_eq!(again.len(), 300);
        assert!(again.eq(codes.iter().cloned()), "{shape:?}");

        let texts: Vec<String> = codes.iter().map(VoucherCode::reveal).collect();
        assert!(texts.is_sorted_by(|one, next| one < next), "{shape:?}: sorted and distinct");
        let others: HashSet<String> = batch(5, shape, 300).iter().map(VoucherCode::reveal).collect();
        assert!(texts.iter().all(|text| !others.contains(text)), "{shape:?}");
    }
}

#[test]
fn codes_made_some_at_a_time_are_those_of_the_batch() {
    let keys = keys("a");
    for shape in shapes() {
        let derivation = keys.derivation(keys.current_id(), &nonce(4), &label("TGCA"), shape, 300).unwrap();
        let parts = [0..1, 1..64, 64..200, 200..300, 300..300];
        let mut codes: Vec<_> = parts.into_iter().flat_map(|places| derivation.codes(places)).collect();
        codes.sort_unstable();
        assert_eq!(codes, batch(4, shape, 300), "{shape:?}");
    }
}

/// Sold vouchers outlive the release that minted them: these values may never change.
#[test]
fn codes_hashes_and_fingerprints_stay_what_earlier_releases_made() {
    let keys = keys("a");
    let made = |shape| {
        let code = batch(11, shape, 3).remove(1);
        format!("{} {} {}", code.reveal(), keys.lookup_hash(&code), keys.current_id())
    };
    assert_eq!(
        made(Shape::default()),
        "FRVZSP7A93267JXP67S78WB0JB6YV559 557806c377d465e703fe7905313da6ec eed0a5b4"
    );
    assert_eq!(
        made(Shape::new(64, 12, 30).unwrap()),
        "FRVZSP7AXP67S78WB0JB6YV55ZWB9T366FRMDE92Q7A1PA2XQXR5F0XG20JKP8BD 3b2af2f50dcc2c3f26b89fca216df9e5 eed0a5b4"
    );
}

#[test]
fn every_symbol_of_a_long_code_depends_on_the_nonce() {
    let shape = Shape::new(64, 4, 59).unwrap();
    for (one, other) in batch(6, shape, 50).iter().zip(&batch(7, shape, 50)) {
        let (one, other) = (one.reveal(), other.reveal());
        let alike = one.bytes().zip(other.bytes()).skip(25).filter(|(a, b)| a == b).count();
        assert!(alike < 12, "{alike} of 39 symbols alike");
    }
}

#[test]
fn a_batch_is_refused_where_its_secret_is_gone_or_it_is_too_large() {
    let keys = keys("a");
    let derive =
        |key, count| keys.derive_batch(key, &nonce(1), &label("A"), Shape::default(), count).map(|_| ());
    let gone = secret("gone").key_id();
    assert_eq!(derive(gone, 1), Err(BatchError::UnknownKey(gone)));
    let count = MAX_BATCH + 1;
    assert_eq!(derive(keys.current_id(), count), Err(BatchError::TooMany { count }));
    assert_eq!(derive(keys.current_id(), 0), Ok(()));
}

#[test]
fn codes_minted_singly_and_in_bulk_use_all_the_chance_given() {
    let drawn = Cell::new(0_u8);
    let random = |bytes: &mut [u8]| {
        drawn.set(drawn.get() + 1);
        bytes.fill(drawn.get());
    };
    let keys = keys("a");
    let own = keys.label(&label("TGCA"));
    let shape = Shape::default();
    assert_ne!(own.mint(shape, random), own.mint(shape, random));
    let bulk = || keys.mint_many(&label("TGCA"), shape, 10, random).unwrap().collect::<Vec<_>>();
    let (one, other) = (bulk(), bulk());
    assert_eq!(one.len(), 10);
    assert!(one.iter().all(|code| own.matches(code).is_some() && !other.contains(code)));
}

#[test]
fn the_mask_shows_eight_symbols_and_debug_no_more() {
    let code = &batch(8, Shape::default(), 1)[0];
    let text = code.reveal();
    let mask = code.mask().to_string();
    assert_eq!(mask, format!("{}****{}", &text[..4], &text[28..]));
    assert_eq!(format!("{code:?}"), format!("VoucherCode({mask})"));
    assert_eq!(mask.parse(), Ok(code.mask()));

    let keys = keys("hunter2");
    let secret = secret("hunter2");
    let codes = keys.mint_many(&label("A"), Shape::default(), 1, |bytes| bytes.fill(0xAB)).unwrap();
    let shown = format!("{keys:?} {secret:?} {:?} {:?} {codes:?}", keys.label(&label("A")), nonce(0xAB));
    assert!(!shown.contains("hunter") && !shown.contains("abab") && !shown.contains("171"), "{shown}");
}

#[test]
fn groups_are_joined_by_hyphens() {
    let code = VoucherCode::parse(&"0".repeat(32), &Shape::default()).unwrap();
    assert_eq!(code.grouped(4), ["0000"; 8].join("-"));
    assert_eq!(code.grouped(5), "00000-00000-00000-00000-00000-00000-00");
    assert_eq!(code.grouped(0), code.reveal());
}

#[test]
fn a_short_secret_is_refused_and_every_byte_of_a_long_one_counts() {
    assert!(VoucherSecret::new(&"x".repeat(31)).unwrap_err().to_string().contains("31 bytes"));
    let id = |text: String| VoucherSecret::new(&text).unwrap().key_id();
    assert_eq!(id("é".repeat(16)), id("é".repeat(16)));
    assert_ne!(id("x".repeat(32)), id(format!("{} ", "x".repeat(32))));
    assert_ne!(id("x".repeat(100)), id(format!("{}y", "x".repeat(99))));
}

#[test]
fn a_keyed_value_belongs_to_its_domain_and_secret() {
    let values = [
        keys("a").hmac("cookie", b"x"),
        keys("a").hmac("cookiex", b""),
        keys("a").hmac("key", b"x"),
        keys("b").hmac("cookie", b"x"),
    ];
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(keys("a").hmac("cookie", b"x"), values[0]);
}

#[test]
fn keyed_bytes_are_written_as_hexadecimal_and_read_back() {
    let keys = keys("a");
    let hash = keys.lookup_hash(&batch(9, Shape::default(), 1)[0]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{hash}\""));
    assert_eq!(
        serde_json::from_str::<BatchNonce>(&serde_json::to_string(&nonce(10)).unwrap()).unwrap(),
        nonce(10)
    );
    let id = keys.current_id();
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["", "abc", "xyzxyzxy", "0102030405"] {
        assert!(bad.parse::<mintcode_core::voucher::KeyId>().is_err(), "{bad}");
    }
}
