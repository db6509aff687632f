// Command kratos serves users with Kratos and the middleware that it brings for servers.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/go-kratos/aegis/ratelimit/bbr"
	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/middleware/metrics"
	"github.com/go-kratos/kratos/v2/middleware/ratelimit"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"github.com/go-kratos/kratos/v2/middleware/tracing"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	contract "seawall/peers/gen/users"
	"seawall/peers/internal/options"
	"seawall/peers/internal/traces"
	"seawall/peers/internal/users"
)

func main() {
	settings := options.Register()
	timeout := flag.Duration("timeout", time.Second, "time that a call has")
	cpuThreshold := flag.Int64("cpu-threshold", 800, "load of the processors, in thousandths, from which calls are refused")
	flag.Parse()
	if err := run(settings, *timeout, *cpuThreshold); err != nil {
		log.Fatal(err)
	}
}

func run(settings *options.Options, timeout time.Duration, cpuThreshold int64) error {
	provider, err := traces.Provider(context.Background(), settings)
	if err != nil {
		return err
	}
	defer provider.Shutdown(context.Background())

	measured, err := measurements()
	if err != nil {
		return err
	}
	listener, err := options.Listen(settings.Port)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.Listener(listener),
		grpc.Timeout(timeout),
		grpc.Middleware(
			recovery.Recovery(),
			tracing.Server(),
			metrics.Server(measured...),
			ratelimit.Server(ratelimit.WithLimiter(bbr.NewLimiter(bbr.WithCPUThreshold(cpuThreshold)))),
		),
	)
	contract.RegisterUserServiceServer(server, users.Service{})

	metricsListener, err := options.Listen(settings.MetricsPort)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	go http.Serve(metricsListener, mux)
	options.Announce(options.PortOf(listener.Addr()), options.PortOf(metricsListener.Addr()))
	return kratos.New(kratos.Name("users"), kratos.Server(server)).Run()
}

// measurements are the counter and the histogram of Kratos' documentation, read by Prometheus.
func measurements() ([]metrics.Option, error) {
	exporter, err := prometheus.New()
	if err != nil {
		return nil, err
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(exporter),
		sdkmetric.WithView(metrics.DefaultSecondsHistogramView(metrics.DefaultServerSecondsHistogramName)),
	)
	meter := provider.Meter("users")
	requests, err := metrics.DefaultRequestsCounter(meter, metrics.DefaultServerRequestsCounterName)
	if err != nil {
		return nil, err
	}
	seconds, err := metrics.DefaultSecondsHistogram(meter, metrics.DefaultServerSecondsHistogramName)
	if err != nil {
		return nil, err
	}
	return []metrics.Option{metrics.WithRequests(requests), metrics.WithSeconds(seconds)}, nil
}
