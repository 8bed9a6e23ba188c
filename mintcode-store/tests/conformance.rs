//! Every storage of this crate passes the suite of mintcode-core, a test a case.

mod sqlite {
    use mintcode_store::SqliteStore;

    mintcode_core::storage_conformance!(async { SqliteStore::open_temporary().unwrap() });
}

mod memory {
    use mintcode_core::testing::MemoryStorage;

    mintcode_core::storage_conformance!(async { MemoryStorage::new() });
}
