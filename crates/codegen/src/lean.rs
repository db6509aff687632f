//! The servers of tonic, with other calls where their unary methods are called.

use prost_build::{Service, ServiceGenerator};
use tonic_prost_build::Builder;

/// How tonic calls a unary method.
const TONIC: &str = "grpc.unary(method, req)";
/// How it is called instead. The names are those of what tonic's code has at hand there.
const LEAN: &str = "::seawall_unary::unary(&mut grpc, method, req, ::seawall_unary::Settings {
                            send: send_compression_encodings,
                            decoding_bytes_max: max_decoding_message_size,
                            encoding_bytes_max: max_encoding_message_size,
                        })";

pub(crate) struct Generator {
    tonic: Box<dyn ServiceGenerator>,
}

impl Generator {
    pub(crate) fn new(tonic: Builder) -> Self {
        Self { tonic: tonic.service_generator() }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, code: &mut String) {
        let name = format!("{}.{}", service.package, service.proto_name);
        let is_unary = |method: &&prost_build::Method| !method.client_streaming && !method.server_streaming;
        let expected = service.methods.iter().filter(is_unary).count();
        let mut generated = String::new();
        self.tonic.generate(service, &mut generated);
        let found = generated.matches(TONIC).count();
        // A version of tonic that writes something else is to be noticed where it is built.
        assert_eq!(found, expected, "{name}: calls of unary methods found in what tonic generates, and such methods");
        code.push_str(&generated.replace(TONIC, LEAN));
    }
}

#[cfg(test)]
mod tests {
    use prost_build::Method;

    use super::*;

    fn method(proto_name: &str, client_streaming: bool, server_streaming: bool) -> Method {
        Method {
            name: proto_name.to_lowercase(),
            proto_name: proto_name.to_owned(),
            comments: Default::default(),
            input_type: "Question".to_owned(),
            output_type: "Answer".to_owned(),
            input_proto_type: ".a.Question".to_owned(),
            output_proto_type: ".a.Answer".to_owned(),
            options: Default::default(),
            client_streaming,
            server_streaming,
        }
    }

    #[test]
    fn unary_methods_go_their_own_way_and_streams_do_not() {
        let methods = vec![
            method("One", false, false),
            method("Up", true, false),
            method("Down", false, true),
            method("Both", true, true),
            method("Two", false, false),
        ];
        let service = Service {
            name: "Asked".to_owned(),
            proto_name: "Asked".to_owned(),
            package: "a".to_owned(),
            comments: Default::default(),
            methods,
            options: Default::default(),
        };
        let mut code = String::new();
        Generator::new(tonic_prost_build::configure()).generate(service, &mut code);
        let (client, server) = code.split_once("mod asked_server").unwrap();
        assert!(!client.contains("seawall"), "the client is that of tonic");
        assert_eq!(server.matches("::seawall_unary::unary(").count(), 2);
        assert_eq!(server.matches("grpc.unary(").count(), 0);
        for streaming in ["client_streaming", "server_streaming", "streaming"] {
            assert_eq!(server.matches(&format!("grpc.{streaming}(method, req)")).count(), 1, "{streaming}");
        }
    }
}
