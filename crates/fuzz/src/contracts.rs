//! What contracts declare, and the file that overrides it.

use std::cell::OnceCell;

use seawall_auth::rules::Rules;
use seawall_policy::{Contract, Policies};
use tempfile::NamedTempFile;

/// Descriptors, which come out of the compiler of whoever wrote the contract.
pub(crate) fn contract(bytes: &[u8]) {
    if let Err(mistakes) = Rules::try_new(&[bytes], Some("shop")) {
        assert!(!mistakes.to_string().is_empty());
    }
    let Ok(contract) = Contract::try_new(&[bytes]) else { return };
    let methods: Vec<_> = contract.methods().map(|(id, method)| (id, method.path.clone())).collect();
    match Policies::try_new(contract, None) {
        Ok(policies) => {
            for (id, path) in methods {
                // Of two methods with one path, the calls are of one of them.
                let _ = policies.get(id);
                let _ = policies.by_path(&path);
            }
            let _ = policies.snapshot();
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}

thread_local! {
    /// The contracts of Seawall, and a file over them.
    static FILE: OnceCell<(NamedTempFile, Policies)> = const { OnceCell::new() };
}

/// The file of policies: it holds as a whole or not at all, and read again it changes nothing.
pub(crate) fn policy_file(bytes: &[u8]) {
    FILE.with(|file| {
        let (file, policies) = file.get_or_init(|| {
            let file = NamedTempFile::new().expect("there is room for a file");
            let contract = Contract::try_new(&[seawall_proto::FILE_DESCRIPTOR_SET]).expect("ours can be read");
            let policies = Policies::try_new(contract, Some(file.path().to_owned())).expect("ours are good");
            (file, policies)
        });
        std::fs::write(file, bytes).expect("there is room for a file");
        let before = policies.snapshot();
        match policies.reload() {
            Ok(_) => assert!(policies.reload().expect("it is the same").is_empty()),
            Err(mistakes) => {
                assert!(!mistakes.to_string().is_empty());
                assert_eq!(format!("{before:?}"), format!("{:?}", policies.snapshot()));
            }
        }
    });
}
