//! What contracts and files make of policies.

mod contract;
mod merge;
mod mistakes;
mod reload;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use seawall_policy::Contract;
use seawall_proto::seawall::policy::v1 as pb;

/// A contract `t.v1.S` with these policies, encoded as a compiler would.
fn described(service: &pb::ServicePolicy, methods: &[(&str, pb::MethodPolicy)]) -> Contract {
    // Options are fields 3 (of a service) and 4 (of a method), with ours as field 50621 in them.
    let nested = |tag: u32, content: &[u8]| {
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(tag, &content.to_vec(), &mut bytes);
        bytes
    };
    let mut encoded = nested(1, b"S");
    for (name, policy) in methods {
        let method = [nested(1, name.as_bytes()), nested(4, &nested(50_621, &policy.encode_to_vec()))].concat();
        encoded.extend(nested(2, &method));
    }
    encoded.extend(nested(3, &nested(50_621, &service.encode_to_vec())));
    let file = FileDescriptorProto { name: Some("t.proto".into()), package: Some("t.v1".into()), ..Default::default() };
    let file = [file.encode_to_vec(), nested(6, &encoded)].concat();
    Contract::try_new(&[&nested(1, &file)]).unwrap()
}
