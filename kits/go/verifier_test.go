package webhooks

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
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
	text, err := os.ReadFile("../../conformance/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Vectors
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
