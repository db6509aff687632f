// Package peers checks that each program does what the comparison says of it: traces arrive, the metrics page
// shows the calls, a call's time ends, the limiter refuses when it is made small, and a breaker opens.
//
//	go test -p 1 ./...
package peers

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	getUser  = "/seawall.bench.v1.UserService/GetUser"
	holdUser = "/seawall.bench.v1.UserService/HoldUser"
)

// Codes of gRPC, as a trailer has them.
const (
	ok                = "0"
	deadlineExceeded  = "4"
	resourceExhausted = "8"
	unavailable       = "14"
)

// patience is for what a busy machine may do late.
const patience = 30 * time.Second

// peers are the programs and the series of their metrics page that counts calls of GetUser.
var peers = []struct{ name, series string }{
	{"grpc-go", `grpc_server_handled_total{.*grpc_method="GetUser"`},
	{"go-zero", `rpc_server_requests_duration_ms_count{.*method="` + getUser},
	{"kratos", `server_requests_code_total{.*operation="` + getUser},
	{"connect", `rpc_server_call_duration_seconds_count{.*GetUser`},
}

// each runs a check with each of these programs, or all of them.
func each(t *testing.T, names []string, check func(t *testing.T, name, series string)) {
	for _, peer := range peers {
		if names == nil || strings.Contains(" "+strings.Join(names, " ")+" ", " "+peer.name+" ") {
			t.Run(peer.name, func(t *testing.T) { check(t, peer.name, peer.series) })
		}
	}
}

func TestAllSpansArriveOfASampleRatioOf1(t *testing.T) {
	each(t, nil, func(t *testing.T, name, _ string) {
		collector := collect(t)
		server := start(t, name, "--collector", collector.address, "--sample-ratio", "1")
		for range 50 {
			server.expect(ok, getUser)
		}
		server.end()
		if spans := collector.spans(); len(spans) != 50 {
			t.Errorf("%d spans of 50 calls", len(spans))
		}
	})
}

func TestNoSpanArrivesOfASampleRatioOf0(t *testing.T) {
	each(t, nil, func(t *testing.T, name, _ string) {
		collector := collect(t)
		server := start(t, name, "--collector", collector.address, "--sample-ratio", "0")
		for range 50 {
			server.expect(ok, getUser)
		}
		server.end()
		if spans := collector.spans(); len(spans) != 0 {
			t.Errorf("%d spans", len(spans))
		}
	})
}

func TestASpanBelongsToTheCallersTrace(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	each(t, nil, func(t *testing.T, name, _ string) {
		collector := collect(t)
		server := start(t, name, "--collector", collector.address, "--sample-ratio", "0")
		server.expect(ok, getUser, "traceparent", "00-"+trace+"-"+parent+"-01")
		server.end()
		spans := collector.spans()
		if len(spans) != 1 {
			t.Fatalf("%d spans", len(spans))
		}
		if got := fmt.Sprintf("%x %x", spans[0].TraceId, spans[0].ParentSpanId); got != trace+" "+parent {
			t.Errorf("the span's trace and parent are %s", got)
		}
	})
}

func TestTheMetricsPageCountsCalls(t *testing.T) {
	each(t, nil, func(t *testing.T, name, series string) {
		server := start(t, name)
		for range 7 {
			server.expect(ok, getUser)
		}
		page := server.metrics()
		if !regexp.MustCompile(`(?m)^` + series + `.* 7$`).MatchString(page) {
			t.Errorf("no %s with 7 in:\n%s", series, page)
		}
	})
}

func TestTheCallersDeadlineEndsACall(t *testing.T) {
	each(t, nil, func(t *testing.T, name, _ string) {
		code, err := start(t, name).call(holdUser, "grpc-timeout", "50m")
		// grpc-go resets the stream, unless the handler is quicker.
		reset := err != nil && strings.HasSuffix(err.Error(), "CANCEL; received from peer")
		if code != deadlineExceeded && !reset {
			t.Errorf("it ends with code %q (%v)", code, err)
		}
	})
}

func TestTheServersTimeoutEndsACall(t *testing.T) {
	each(t, []string{"go-zero", "kratos"}, func(t *testing.T, name, _ string) {
		start(t, name, "--timeout", "50ms").expect(deadlineExceeded, holdUser)
	})
}

func TestTheRateLimitRefuses(t *testing.T) {
	each(t, []string{"grpc-go", "connect"}, func(t *testing.T, name, _ string) {
		server := start(t, name, "--calls-per-second", "1")
		server.expect(ok, getUser)
		server.until(resourceExhausted, getUser)
	})
}

// What is in flight is more than what the server has shown to manage, and the processors are busier than allowed.
func TestTheAdaptiveLimitRefuses(t *testing.T) {
	each(t, []string{"go-zero", "kratos"}, func(t *testing.T, name, _ string) {
		server := start(t, name, "--cpu-threshold", "1", "--timeout", "1m")
		var held sync.WaitGroup
		defer held.Wait()
		for range 100 {
			held.Go(func() { server.call(holdUser, "grpc-timeout", "20S") })
		}
		server.until(resourceExhausted, getUser)
		server.kill()
	})
}

func TestTheBreakerOpens(t *testing.T) {
	each(t, []string{"go-zero"}, func(t *testing.T, name, _ string) {
		server := start(t, name, "--timeout", "10ms")
		server.until(unavailable, holdUser)
		server.expect(ok, getUser)
	})
}

// expect makes a call and wants this code.
func (s *server) expect(code, method string, headers ...string) {
	s.t.Helper()
	if got, err := s.call(method, headers...); got != code || err != nil {
		s.t.Errorf("%s is answered with code %q (%v), not %s", method, got, err, code)
	}
}

// until calls until the code comes.
func (s *server) until(code, method string) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got, err := s.call(method); err != nil {
			s.t.Fatal(err)
		} else if got == code {
			return
		}
	}
	s.t.Errorf("no call of %s is answered with code %s", method, code)
}

// call returns the code of gRPC. Deadlines are headers here, so that it is the server which keeps them.
func (s *server) call(method string, headers ...string) (string, error) {
	message := append([]byte{0, 0, 0, 0, 5, 0x0a, 3}, "ada"...)
	request, err := http.NewRequest("POST", "http://"+s.address+method, strings.NewReader(string(message)))
	if err != nil {
		return "", err
	}
	request.Header.Set("content-type", "application/grpc")
	request.Header.Set("te", "trailers")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	// An answer without a message has its code among the headers.
	return response.Trailer.Get("grpc-status") + response.Header.Get("grpc-status"), nil
}

// metrics is the page.
func (s *server) metrics() string {
	s.t.Helper()
	response, err := http.Get(s.metricsAddress)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(page)
}
