// Command go-zero serves users with zrpc and all that its configuration turns on by default.
package main

import (
	"bytes"
	"flag"
	"log"
	"text/template"
	"time"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	contract "seawall/peers/gen/users"
	"seawall/peers/internal/options"
	"seawall/peers/internal/users"
)

// configuration is a service's file as go-zero's documentation has it. Trace, Recover, Prometheus and
// Breaker are on by default; Stat is off, because it formats a line of log for each call.
var configuration = template.Must(template.New("users.yaml").Parse(`
Name: users
ListenOn: {{ .Address }}
Timeout: {{ .Timeout.Milliseconds }}
CpuThreshold: {{ .CPUThreshold }}
Middlewares:
  Stat: false
Log:
  Level: error
  Stat: false
Telemetry:
  Name: users
  Endpoint: {{ .Collector }}
  Sampler: {{ .SampleRatio }}
  Batcher: otlpgrpc
DevServer:
  Enabled: true
  Host: 127.0.0.1
  Port: {{ .MetricsPort }}
`))

type settings struct {
	*options.Options
	Address      string
	Timeout      time.Duration
	CPUThreshold int64
}

func main() {
	settings := settings{Options: options.Register()}
	flag.DurationVar(&settings.Timeout, "timeout", time.Second, "time that a call has")
	flag.Int64Var(&settings.CPUThreshold, "cpu-threshold", 900,
		"load of the processors, in thousandths, from which calls are refused")
	flag.Parse()
	if err := run(settings); err != nil {
		log.Fatal(err)
	}
}

func run(settings settings) (err error) {
	if settings.Port, err = options.FreePort(settings.Port); err != nil {
		return err
	}
	if settings.MetricsPort, err = options.FreePort(settings.MetricsPort); err != nil {
		return err
	}
	settings.Address = options.Address(settings.Port)
	var file bytes.Buffer
	if err := configuration.Execute(&file, settings); err != nil {
		return err
	}
	var config zrpc.RpcServerConf
	if err := conf.LoadFromYamlBytes(file.Bytes(), &config); err != nil {
		return err
	}
	server, err := zrpc.NewServer(config, func(server *grpc.Server) {
		contract.RegisterUserServiceServer(server, users.Service{})
	})
	if err != nil {
		return err
	}
	defer server.Stop()
	options.Announce(settings.Port, settings.MetricsPort)
	server.Start()
	return nil
}
