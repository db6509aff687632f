# Short forms of `cargo seawall`; nothing works only through `just`.

# Lists these recipes
default:
    @just --list

# Builds and runs all services; `just up docker` runs them in containers
up *args:
    cargo seawall up {{ args }}

# Ends what `up` started
down:
    cargo seawall down

# Shows what runs
ps *args:
    cargo seawall ps {{ args }}

# Shows what the services log; `just logs -f order`
logs *args:
    cargo seawall logs {{ args }}

# Lists the last traces, or shows one: `just trace last`
trace *args:
    cargo seawall trace {{ args }}

# Calls a method: `just rpc user ListUsers --json '{"page_size": 1}'`
[positional-arguments]
rpc *args:
    cargo seawall call "$@"

# Puts load on a method: `just load user ListUsers --rate 500`
[positional-arguments]
load *args:
    cargo seawall load "$@"

# Refuses changes of contracts that break those who use them
contract *args:
    cargo seawall contract check {{ args }}

# Says what is wrong here and how to put it right: `just doctor --prod`
doctor *args:
    cargo seawall doctor {{ args }}

# Prints what a shell needs to complete commands: `just completions bash`
completions shell:
    @cargo seawall completions {{ shell }}

# Runs all tests, with what they need
test *args:
    cargo seawall test {{ args }}

# Checks formatting, code and contracts
lint:
    cargo seawall lint

# Looks for bytes that a parser cannot take: `just fuzz --seconds 600 --target request`
fuzz *args:
    cargo seawall fuzz {{ args }}

# Tries the wire with clients and servers of others: `just conformance --peer grpc-go`
conformance *args:
    cargo seawall conformance {{ args }}

# Checks everything
ci:
    cargo seawall ci

# Adds a service: `just new billing`
new *args:
    cargo seawall new {{ args }}

# Makes the calls that `up` prints
call:
    cargo seawall ps --examples | PATH="$PWD/.seawall/tools/bin:$PATH" bash -x

# Sees one trace through a real Jaeger (2.x, on the PATH)
jaeger-check:
    cargo test --package order --test jaeger -- --nocapture

# Attacks a service while good calls go on: `just attack --only ping`
attack *args:
    cargo seawall attack {{ args }}

# Restarts services while they are called: `just restart-drill --restarts 20`
restart-drill *args:
    cargo seawall restart-drill {{ args }}

# Compares with others: `just bench stack`, `just bench size`, `just bench peers`, `just bench shop`, `just bench policies`
bench name *args:
    cargo run --profile {{ if name =~ "^(client|policies)$" { "release" } else { "plain" } }} --manifest-path bench/Cargo.toml --bin {{ name }} -- {{ args }}
