// Calls the greeter with connect-go, as JSON. Usage: client INTERNAL_URL EDGE_URL
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	greeter "greeter/gen/greeterv1"
	"greeter/gen/greeterv1/greeterv1connect"
)

var values = map[string]*greeter.Values{
	"empty": {},
	"extremes": {
		Signed:   math.MinInt64,
		Unsigned: math.MaxUint64,
		Data:     []byte{0x00, 0xff, 0xfe},
		Flag:     true,
		Ratio:    math.MaxFloat64,
		Mood:     greeter.Mood_MOOD_LOUD,
		Numbers:  []int64{math.MaxInt64, math.MinInt64, 1<<53 + 1, 0},
		Counts:   map[string]uint64{"": 0, "größe\n": math.MaxUint64},
		Person: &greeter.Person{
			FirstName: "Ada",
			Id:        proto.Uint64(math.MaxUint64),
			Parent:    &greeter.Person{FirstName: "Byron"},
		},
		People:   []*greeter.Person{{}, {FirstName: "😀"}},
		Families: map[int64]*greeter.Person{math.MinInt64: {FirstName: "least"}, math.MaxInt64: {}},
		Chunks:   [][]byte{{}, {0xff}},
		Ratios:   []float64{math.SmallestNonzeroFloat64, 0.1, -1e-7, 123456789012345680},
		Moods:    []greeter.Mood{greeter.Mood_MOOD_CALM, greeter.Mood_MOOD_UNSPECIFIED, greeter.Mood_MOOD_LOUD},
		Text:     "line\n\x00\u2028😀",
		Small:    math.MinInt32,
		Positive: math.MaxUint32,
		Keys:     map[bool][]byte{false: {}, true: {1}},
	},
	"presence": {
		Nickname: proto.String(""),
		Balance:  proto.Int64(0),
		Token:    []byte{},
		Share:    proto.Float64(0),
		Agreed:   proto.Bool(false),
		Temper:   greeter.Mood_MOOD_UNSPECIFIED.Enum(),
		Person:   &greeter.Person{},
	},
	"special": {
		Ratio:  math.NaN(),
		Mood:   42,
		Share:  proto.Float64(math.Inf(1)),
		Temper: greeter.Mood(-7).Enum(),
		Ratios: []float64{math.Inf(-1), math.Inf(1), math.NaN()},
	},
}

var (
	mutex          sync.Mutex
	passed, failed int
)

func check[T comparable](what string, actual, expected T) {
	mutex.Lock()
	defer mutex.Unlock()
	if actual == expected {
		passed++
		return
	}
	failed++
	fmt.Fprintf(os.Stderr, "connect-go: %s\n  expected %v\n  actual   %v\n", what, expected, actual)
}

// wire records the encodings and the verb of the last exchange.
type wire struct {
	base               http.RoundTripper
	lock               sync.Mutex
	verb, sent, served string
}

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := w.base.RoundTrip(request)
	w.lock.Lock()
	defer w.lock.Unlock()
	w.verb, w.sent = request.Method, request.Header.Get("Content-Encoding")
	if err == nil {
		w.served = response.Header.Get("Content-Encoding")
	}
	return response, err
}

type settings struct {
	name, url       string
	http2, get, zip bool
}

func (s settings) encoding() string {
	if s.zip {
		return "gzip"
	}
	return ""
}

func run(s settings, seen map[string]string) error {
	name := s.name
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!s.http2)
	protocols.SetUnencryptedHTTP2(s.http2)
	exchange := &wire{base: &http.Transport{Protocols: protocols}}
	options := []connect.ClientOption{connect.WithProtoJSON()}
	if s.get {
		options = append(options, connect.WithHTTPGet())
	}
	if s.zip {
		options = append(options, connect.WithSendGzip())
	} else {
		options = append(options, connect.WithAcceptCompression("gzip", nil, nil))
	}
	client := greeterv1connect.NewGreeterClient(&http.Client{Transport: exchange}, s.url, options...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	for set, message := range values {
		echo, err := client.Echo(ctx, connect.NewRequest(message))
		if err != nil {
			return fmt.Errorf("%s: echo of %s: %w", name, set, err)
		}
		check(name+": verb of echo", exchange.verb, "POST")
		look, err := client.Look(ctx, connect.NewRequest(message))
		if err != nil {
			return fmt.Errorf("%s: look of %s: %w", name, set, err)
		}
		check(name+": look by GET", exchange.verb == "GET", s.get)
		for method, response := range map[string]*greeter.EchoResponse{"echo": echo.Msg, "look": look.Msg} {
			check(fmt.Sprintf("%s: %s of %s, as the server saw it", name, method, set), response.Seen, seen[set])
			received := response.Values
			if received == nil {
				received = &greeter.Values{}
			}
			what := fmt.Sprintf("%s: %s of %s: %v instead of %v", name, method, set, received, message)
			check(what, proto.Equal(received, message), true)
		}
	}

	text := strings.Repeat("greeting ", 20_000)
	large, err := client.Echo(ctx, connect.NewRequest(&greeter.Values{Text: text}))
	if err != nil {
		return fmt.Errorf("%s: a large text: %w", name, err)
	}
	check(name+": a large text", large.Msg.Values.Text == text, true)
	check(name+": encoding of the request", exchange.sent, s.encoding())
	check(name+": encoding of the response", exchange.served, s.encoding())

	token := make([]byte, 256)
	for index := range token {
		token[index] = byte(index)
	}
	withHeaders := func(header http.Header) {
		header.Set("X-Text", "one two")
		header.Set("X-Token-Bin", connect.EncodeBinaryHeader(token))
	}
	checkMetadata := func(kind string, received http.Header) {
		values := strings.Join(received.Values("X-Text"), ", ")
		check(name+": text in a "+kind, values, "one two")
		decoded, err := connect.DecodeBinaryHeader(received.Get("X-Token-Bin"))
		check(name+": bytes in a "+kind, err == nil && string(decoded) == string(token), true)
	}
	request := connect.NewRequest(&greeter.Values{})
	withHeaders(request.Header())
	response, err := client.Echo(ctx, request)
	if err != nil {
		return fmt.Errorf("%s: metadata: %w", name, err)
	}
	checkMetadata("header", response.Header())
	checkMetadata("trailer", response.Trailer())

	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		refusal := &greeter.Refusal{
			Code:    int32(code),
			Message: fmt.Sprintf("refused: größe %d 😀", code),
			Balance: math.MinInt64,
			Token:   []byte{0, 0xff},
		}
		request := connect.NewRequest(refusal)
		withHeaders(request.Header())
		_, err := client.Refuse(ctx, request)
		var refused *connect.Error
		if !errors.As(err, &refused) {
			return fmt.Errorf("%s: code %v: %w", name, code, err)
		}
		check(name+": code", refused.Code(), code)
		check(name+": message of code "+code.String(), refused.Message(), refusal.Message)
		check(name+": count of details of code "+code.String(), len(refused.Details()), 1)
		for _, detail := range refused.Details() {
			value, err := detail.Value()
			check(name+": detail of code "+code.String(), err == nil && proto.Equal(value, refusal), true)
		}
		values := strings.Join(refused.Meta().Values("X-Text"), ", ")
		check(name+": header and trailer of code "+code.String(), values, "one two, one two")
	}

	_, err = client.Missing(ctx, connect.NewRequest(&greeter.Empty{}))
	check(name+": a method that the server does not have", connect.CodeOf(err), connect.CodeUnimplemented)

	late := &greeter.Call{Id: name + " late"}
	short, cancelShort := context.WithTimeout(ctx, time.Second)
	defer cancelShort()
	_, err = client.Wait(short, connect.NewRequest(late))
	check(name+": a timeout", connect.CodeOf(err), connect.CodeDeadlineExceeded)
	dropped, err := client.Dropped(ctx, connect.NewRequest(late))
	if err != nil {
		return fmt.Errorf("%s: the server does not drop a late call: %w", name, err)
	}
	left := dropped.Msg.Milliseconds
	check(fmt.Sprintf("%s: the server has the timeout (%d ms)", name, left), left > 0 && left <= 1000, true)

	canceled := &greeter.Call{Id: name + " canceled"}
	waiting, cancelWaiting := context.WithCancel(ctx)
	defer cancelWaiting()
	outcome := make(chan error, 1)
	go func() {
		_, err := client.Wait(waiting, connect.NewRequest(canceled))
		outcome <- err
	}()
	if _, err := client.Started(ctx, connect.NewRequest(canceled)); err != nil {
		return fmt.Errorf("%s: a call that is to be canceled: %w", name, err)
	}
	cancelWaiting()
	check(name+": a canceled call", connect.CodeOf(<-outcome), connect.CodeCanceled)
	if _, err := client.Dropped(ctx, connect.NewRequest(canceled)); err != nil {
		return fmt.Errorf("%s: the server does not drop a canceled call: %w", name, err)
	}
	return nil
}

func main() {
	text, err := os.ReadFile("../seen.json")
	seen := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect-go: cannot read seen.json:", err)
		os.Exit(1)
	}
	var all sync.WaitGroup
	for index, listener := range []string{"internal", "edge"} {
		for _, http2 := range []bool{false, true} {
			for _, more := range []bool{false, true} {
				name := fmt.Sprintf("go %s HTTP/2 %t, GET and gzip %t", listener, http2, more)
				s := settings{name: name, url: os.Args[1+index], http2: http2, get: more, zip: more}
				all.Go(func() {
					if err := run(s, seen); err != nil {
						check(err.Error(), false, true)
					}
				})
			}
		}
	}
	all.Wait()
	fmt.Printf("connect-go: %d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
