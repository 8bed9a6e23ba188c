//! Every storage of this crate passes the suite of mintcode-core, a test a case.

mod sqlite {
    use std::sync::Arc;

    use mintcode_core::testing::{SeededEntropy, sample};
    use mintcode_store::{Secrets, SqliteStore};

    mintcode_core::storage_conformance!(async {
        let secrets = Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)));
        SqliteStore::open_temporary(&secrets).unwrap()
    });
}

mod memory {
    use mintcode_core::testing::MemoryStorage;

    mintcode_core::storage_conformance!(async { MemoryStorage::new() });
}
