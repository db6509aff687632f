// Command grpc-go serves users with grpc-go, go-grpc-middleware and otelgrpc.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	contract "seawall/peers/gen/users"
	"seawall/peers/internal/options"
	"seawall/peers/internal/traces"
	"seawall/peers/internal/users"
)

// tokens is a token bucket in the form that go-grpc-middleware takes a limiter.
type tokens struct{ bucket *rate.Limiter }

// Limit refuses when the bucket is empty.
func (t tokens) Limit(context.Context) error {
	if t.bucket.Allow() {
		return nil
	}
	return errors.New("too many calls a second")
}

func main() {
	settings := options.Register()
	callsPerSecond := flag.Int("calls-per-second", 1_000_000, "what the rate limit lets through")
	flag.Parse()
	if err := run(settings, *callsPerSecond); err != nil {
		log.Fatal(err)
	}
}

func run(settings *options.Options, callsPerSecond int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	provider, err := traces.Provider(ctx, settings)
	if err != nil {
		return err
	}
	defer provider.Shutdown(context.Background())

	registry := prometheus.NewRegistry()
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	registry.MustRegister(metrics)
	limiter := tokens{rate.NewLimiter(rate.Limit(callsPerSecond), callsPerSecond)}

	server := grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler()),
		grpc.ChainUnaryInterceptor(
			metrics.UnaryServerInterceptor(),
			ratelimit.UnaryServerInterceptor(limiter),
			recovery.UnaryServerInterceptor(),
		),
	)
	contract.RegisterUserServiceServer(server, users.Service{})
	metrics.InitializeMetrics(server)

	listener, err := options.Listen(settings.Port)
	if err != nil {
		return err
	}
	metricsListener, err := options.Listen(settings.MetricsPort)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go http.Serve(metricsListener, mux)
	context.AfterFunc(ctx, server.GracefulStop)
	options.Announce(options.PortOf(listener.Addr()), options.PortOf(metricsListener.Addr()))
	return server.Serve(listener)
}
