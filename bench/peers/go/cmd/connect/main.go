// Command connect serves users by gRPC with connect-go, otelconnect and net/http's HTTP/2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"golang.org/x/time/rate"

	contract "seawall/peers/gen/users"
	"seawall/peers/gen/users/usersconnect"
	"seawall/peers/internal/options"
	"seawall/peers/internal/traces"
	"seawall/peers/internal/users"
)

// service is the shared one, in the form that connect takes.
type service struct{ users users.Service }

func (s service) GetUser(
	ctx context.Context, request *connect.Request[contract.GetUserRequest],
) (*connect.Response[contract.GetUserResponse], error) {
	response, err := s.users.GetUser(ctx, request.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(response), nil
}

// HoldUser returns the context's error, which connect has a code for.
func (s service) HoldUser(
	ctx context.Context, request *connect.Request[contract.HoldUserRequest],
) (*connect.Response[contract.HoldUserResponse], error) {
	if _, err := s.users.HoldUser(ctx, request.Msg); err != nil {
		return nil, ctx.Err()
	}
	return connect.NewResponse(&contract.HoldUserResponse{}), nil
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

	exporter, err := prometheus.New()
	if err != nil {
		return err
	}
	observed, err := otelconnect.NewInterceptor(
		otelconnect.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))),
		// Callers within the system decide what is sampled, as with the other programs.
		otelconnect.WithTrustRemote(),
	)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(usersconnect.NewUserServiceHandler(
		service{},
		connect.WithInterceptors(observed, limit(rate.NewLimiter(rate.Limit(callsPerSecond), callsPerSecond))),
		connect.WithRecover(func(_ context.Context, _ connect.Spec, _ http.Header, panicked any) error {
			return connect.NewError(connect.CodeInternal, fmt.Errorf("panic: %v", panicked))
		}),
	))
	listener, err := options.Listen(settings.Port)
	if err != nil {
		return err
	}
	metricsListener, err := options.Listen(settings.MetricsPort)
	if err != nil {
		return err
	}
	pages := http.NewServeMux()
	pages.Handle("/metrics", promhttp.Handler())
	go http.Serve(metricsListener, pages)

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols}
	context.AfterFunc(ctx, func() { server.Shutdown(context.Background()) })
	options.Announce(options.PortOf(listener.Addr()), options.PortOf(metricsListener.Addr()))
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// limit refuses calls above the rate, which connect leaves to an interceptor of one's own.
func limit(bucket *rate.Limiter) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			if !bucket.Allow() {
				return nil, connect.NewError(connect.CodeResourceExhausted, errors.New("too many calls a second"))
			}
			return next(ctx, request)
		}
	}
}
