//! The order of the layers, which is part of what the stack promises.

use seawall_config::Reader;

use super::*;

/// The type of a composed stack names its layers, the outermost first.
fn name_of<T>(_: &T) -> &'static str {
    std::any::type_name::<T>()
}

#[test]
fn every_layer_stands_where_its_reason_puts_it() {
    let config = Config::read(&mut Reader::new("", "", [("", "")]).section("server"), 0, 0);
    let policies = Policies::default();
    let limits = Limits::try_new(&config, &policies, None).unwrap();
    let stack = stack(Routes::default(), &policies, limits, AuthLayer::new(None), &config);
    let expected = [
        "protocol::Protocol<",
        "telemetry::server::Server<",
        "panics::Panic<",
        "propagation::inbound::Inbound<",
        "deadline::enforce::Enforce<",
        "auth::layer::Auth<",
        "limit::rate_layer::Rate<",
        "limit::shed_layer::Shedding<",
        "map_request::MapRequest<",
        "message::layers::Server<",
        "unary::UnaryCalls<",
        "limit::concurrency_layer::Concurrency<",
        "Routes",
    ];
    let mut rest = name_of(&stack);
    for layer in expected {
        let at = rest.find(layer).unwrap_or_else(|| panic!("{layer} is not inside of those before it: {rest}"));
        rest = &rest[at + layer.len()..];
    }
}
