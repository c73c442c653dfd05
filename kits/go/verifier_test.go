package webhooks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"
)

type vector struct {
	Name, Scheme, Expected string
	Secrets                []string
	Headers                map[string]string
	Now                    int64
	ToleranceS             int64  `json:"tolerance_s"`
	BodyBase64             string `json:"body_base64"`
}

func vectors(t testing.TB) []vector {
	var all []vector
	for _, name := range []string{"vectors", "samples"} {
		text, err := os.ReadFile("../../conformance/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Vectors []vector }
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Vectors...)
	}
	return all
}

func (v vector) request() ([]byte, http.Header) {
	body, _ := base64.StdEncoding.DecodeString(v.BodyBase64)
	header := http.Header{}
	for name, value := range v.Headers {
		header.Set(name, value)
	}
	return body, header
}

func said(v vector) string {
	made, err := NewVerifier(v.Secrets...)
	if err == nil {
		made.Scheme, made.Tolerance = v.Scheme, time.Duration(v.ToleranceS)*time.Second
		made.Now = func() time.Time { return time.Unix(v.Now, 0) }
		body, header := v.request()
		_, err = made.Verify(body, header)
	}
	if err != nil {
		return err.(*Error).Reason
	}
	return "ok"
}

func TestVectors(t *testing.T) {
	all := vectors(t)
	for _, each := range all {
		if found := said(each); found != each.Expected {
			t.Errorf("%s: %s, expected %s", each.Name, found, each.Expected)
		}
	}
	t.Logf("%d vectors", len(all))
}

func measure(b *testing.B, name string) {
	for _, each := range vectors(b) {
		if each.Name == name {
			made, _ := NewVerifier(each.Secrets...)
			made.Now = func() time.Time { return time.Unix(each.Now, 0) }
			body, header := each.request()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				if _, err := made.Verify(body, header); err != nil {
					b.Fatal(err)
				}
			}
			return
		}
	}
	b.Fatal("no such vector")
}

func BenchmarkSecret(b *testing.B) { measure(b, "the published vector of Standard Webhooks") }
func BenchmarkKey(b *testing.B)    { measure(b, "a public key") }

func deliver(receiver *Receiver, v vector) int {
	body, header := v.request()
	request := httptest.NewRequest("POST", "/hooks", bytes.NewReader(body))
	request.Header = header
	recorder := httptest.NewRecorder()
	receiver.ServeHTTP(recorder, request)
	return recorder.Code
}

func TestAnEventThatCouldNotBeStoredOrHandledComesAgain(t *testing.T) {
	var signed vector
	for _, each := range vectors(t) {
		if each.Name == "both signatures by one secret" {
			signed = each
		}
	}
	handled, stored, again := make(chan string, 9), 0, make(chan string, 9)
	receiver, err := New(func(event *Event) error {
		handled <- event.ID
		if len(again) == 0 {
			return errors.New("the first time")
		}
		return nil
	}, signed.Secrets...)
	if err != nil {
		t.Fatal(err)
	}
	receiver.Now = func() time.Time { return time.Unix(signed.Now, 0) }
	receiver.Store = func(event *Event) error {
		if state, _ := receiver.Seen.Begin(event.ID); state != "pending" || deliver(receiver, signed) != 503 {
			t.Error("while it is being stored the same one is to come again")
		}
		if stored++; stored == 1 {
			return errors.New("the disk is full")
		}
		return nil
	}
	if code := deliver(receiver, signed); code != 500 {
		t.Error(code)
	}
	if code := deliver(receiver, signed); code != 204 {
		t.Error(code)
	}
	if id := <-handled; id != signed.Headers["webhook-id"] {
		t.Error(id)
	}
	again <- "now it works"
	for tries := 0; len(handled) == 0 && tries < 1_000_000; tries++ { // the one that failed is forgotten a moment later
		deliver(receiver, signed)
		runtime.Gosched()
	}
	if <-handled; stored != 3 || deliver(receiver, signed) != 204 || len(handled) != 0 {
		t.Errorf("stored %d times", stored)
	}
}
