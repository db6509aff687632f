package peers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// programs is the folder that TestMain has them built into.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if programs, err = os.MkdirTemp("", "peers"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(programs)
		build := exec.Command("go", "build", "-p", "1", "-o", programs, "./cmd/...")
		if output, err := build.CombinedOutput(); err != nil {
			fmt.Printf("%s%v\n", output, err)
			return 1
		}
		return m.Run()
	}())
}

// server is one of the programs, running.
type server struct {
	t              *testing.T
	process        *exec.Cmd
	client         http.Client
	address        string
	metricsAddress string
}

// start waits until it says where it listens; it is killed when the test ends.
func start(t *testing.T, name string, arguments ...string) *server {
	t.Helper()
	process := exec.Command(programs+"/"+name, arguments...)
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &server{t: t, process: process}
	server.client = http.Client{Timeout: patience, Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(server.kill)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if address, found := strings.CutPrefix(lines.Text(), "metrics on "); found {
			server.metricsAddress = address
		}
		if address, found := strings.CutPrefix(lines.Text(), "listening "); found {
			server.address = address
			server.await()
			return server
		}
	}
	t.Fatalf("%s does not say where it listens", name)
	return nil
}

// await returns when it accepts connections: some frameworks open their ports after all else.
func (s *server) await() {
	for {
		connection, err := net.Dial("tcp", s.address)
		if err == nil {
			connection.Close()
			return
		}
		if s.process.ProcessState != nil {
			s.t.Fatal("the program has ended")
		}
	}
}

// end has it shut down as it does in production, which sends the spans that are left.
func (s *server) end() {
	s.t.Helper()
	s.client.CloseIdleConnections()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// collector receives OTLP over gRPC and keeps the spans.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	address string
	lock    sync.Mutex
	seen    []*tracepb.Span
}

func collect(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	collector := &collector{address: listener.Addr().String()}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, collector)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return collector
}

// Export is called by the programs.
func (c *collector) Export(
	_ context.Context, request *collectorpb.ExportTraceServiceRequest,
) (*collectorpb.ExportTraceServiceResponse, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.seen = append(c.seen, scope.Spans...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func (c *collector) spans() []*tracepb.Span {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.seen
}
