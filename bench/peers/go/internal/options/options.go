// Package options is what every program here can be told, and what each says once it serves.
package options

import (
	"flag"
	"fmt"
	"net"
)

// Options are the flags that all programs share. What one program alone has, it adds itself.
type Options struct {
	// Port is where gRPC is served; 0 takes a free one.
	Port int
	// MetricsPort is where /metrics is served; 0 takes a free one.
	MetricsPort int
	// Collector is where traces go, as host:port, by OTLP over gRPC without TLS.
	Collector string
	// SampleRatio is the share of new traces that are sampled, 0 to 1.
	SampleRatio float64
}

// Register adds the flags; they have their values after flag.Parse.
func Register() *Options {
	options := &Options{}
	flag.IntVar(&options.Port, "port", 0, "port of gRPC; 0 takes a free one")
	flag.IntVar(&options.MetricsPort, "metrics-port", 0, "port of /metrics; 0 takes a free one")
	flag.StringVar(&options.Collector, "collector", "127.0.0.1:4317", "host:port that takes OTLP over gRPC")
	flag.Float64Var(&options.SampleRatio, "sample-ratio", 0.01, "share of new traces that are sampled, 0 to 1")
	return options
}

// Listen binds a port of the loopback interface.
func Listen(port int) (net.Listener, error) {
	return net.Listen("tcp", Address(port))
}

// Address is a port of the loopback interface, as frameworks that bind it themselves take it.
func Address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// FreePort is for the frameworks that cannot say which port they took: it is free now, and nobody who asks
// for any port gets it in the next moment, since the kernel hands out others first.
func FreePort(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	listener, err := Listen(0)
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return PortOf(listener.Addr()), nil
}

// PortOf is the port of a TCP address.
func PortOf(address net.Addr) int {
	return address.(*net.TCPAddr).Port
}

// Announce tells whoever started the program where it serves, on its standard output.
func Announce(port, metricsPort int) {
	fmt.Printf("metrics on http://%s/metrics\nlistening %s\n", Address(metricsPort), Address(port))
}
