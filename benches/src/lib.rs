//! Speed of MintCode, as ratios against stated limits; see `benches/`.
