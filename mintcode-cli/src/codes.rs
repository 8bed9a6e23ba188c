//! Voucher codes as they are given on a command line or on standard input.

use std::io::{self, Read};

use mintcode_core::voucher::{CodeError, Shape, VoucherCode};

use crate::exit::Failure;

/// The codes in `given`, where `-` stands for the lines of standard input, empty ones included.
pub(crate) fn read(given: &[String]) -> Result<Vec<String>, Failure> {
    let mut codes = Vec::new();
    for code in given {
        if code == "-" {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::because("standard input cannot be read", &error))?;
            codes.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        } else {
            codes.push(code.clone());
        }
    }
    Ok(codes)
}

/// How many symbols `code` has, where it is made of nothing but symbols.
pub(crate) fn length(code: &str, usual: Shape) -> Option<u8> {
    let length = match VoucherCode::parse(code, &usual) {
        Ok(_) | Err(CodeError::Typo) => usual.length(),
        Err(CodeError::WrongLength { found, .. }) => found,
        Err(CodeError::Empty | CodeError::BadSymbol { .. }) => return None,
    };
    u8::try_from(length).ok()
}

/// Reads a code of any length, as one who knows no more than the code can: what the check symbol proves.
pub(crate) fn read_any(code: &str) -> Result<VoucherCode, CodeError> {
    let usual = Shape::default();
    let own = length(code, usual).and_then(|length| {
        let (label, pos) = (usual.label_length(), usual.label_pos());
        Shape::new(length, u8::try_from(label).ok()?, u8::try_from(pos).ok()?).ok()
    });
    VoucherCode::parse(code, &own.unwrap_or(usual))
}
