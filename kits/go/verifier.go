// Package webhooks receives NoteFlow's webhooks: it verifies the raw body, deduplicates, answers, and hands the event on
// after the answer. Copy this folder: it needs the standard library alone. What is wrong with a request has a name, the
// same in every language; docs/kits.md has the list, and what to do about each.
package webhooks

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Error is a request, or a secret, that is not taken; Reason is the name of what is wrong.
type Error struct{ Reason, Detail string }

func (e *Error) Error() string { return strings.TrimSuffix(e.Reason+": "+e.Detail, ": ") }

// Event is what has come, verified. ID is the same over all attempts.
type Event struct {
	ID, Type string
	Body     []byte
	Header   http.Header
}

const signaturesLimit = 16

var (
	idForm    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	timeForm  = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})$`)
	plainForm = regexp.MustCompile(`^[!-~]{8,256}$`)
	prefixed  = regexp.MustCompile(`^(whsec|whpk|whsk)_`)
	// Public keys by which everybody can sign, without their sign: the points of small order.
	everybodys = regexp.MustCompile(`^(0[01](00){31}|e[cde](ff){30}7f|` +
		`26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05|` +
		`c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a)$`)
)

// Verifier knows an endpoint's secrets (whsec_… or plain) and public keys (whpk_…): one that fits is enough.
type Verifier struct {
	// Scheme says which signatures are asked for: "standard" (webhook-signature, the default), "plain"
	// (X-NoteFlow-Signature, which has no time and no id), or "both".
	Scheme    string
	Tolerance time.Duration
	Now       func() time.Time

	secrets []struct{ standard, plain []byte }
	public  []ed25519.PublicKey
}

// NewVerifier returns one with a tolerance of five minutes, or an Error, secret_malformed.
func NewVerifier(secrets ...string) (*Verifier, error) {
	made := &Verifier{Scheme: "standard", Tolerance: 5 * time.Minute, Now: time.Now}
	for _, secret := range secrets {
		if err := made.add(secret); err != nil {
			return nil, err
		}
	}
	if len(secrets) == 0 {
		return nil, &Error{"secret_malformed", "there is none"}
	}
	return made, nil
}

// Verify returns the event, or an Error with the name of what is wrong. body is the bytes as they came.
func (v *Verifier) Verify(body []byte, header http.Header) (*Event, error) {
	var err error
	if v.Scheme != "plain" {
		err = v.standard(body, header)
	}
	if err == nil && v.Scheme != "standard" {
		err = v.plain(body, header)
	}
	if err != nil {
		return nil, err
	}
	return &Event{header.Get("webhook-id"), header.Get("X-NoteFlow-Event"), body, header}, nil
}

func (v *Verifier) standard(body []byte, header http.Header) error {
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		if header.Get(name) == "" {
			return &Error{"missing_header", name}
		}
	}
	id, written := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if !idForm.MatchString(id) {
		return &Error{"malformed_header", "webhook-id"}
	}
	if !timeForm.MatchString(written) {
		return &Error{"malformed_header", "webhook-timestamp"}
	}
	seconds, _ := strconv.ParseInt(written, 10, 64)
	if age := v.Now().Sub(time.Unix(seconds, 0)); age > v.Tolerance {
		return &Error{"too_old", "by " + age.String()}
	} else if -age > v.Tolerance {
		return &Error{"too_new", "by " + (-age).String()}
	}
	content := bytes.Join([][]byte{[]byte(id), []byte(written), body}, []byte("."))
	found := false
	for i, each := range strings.Split(header.Get("webhook-signature"), " ") {
		if i < signaturesLimit {
			found = v.isBySecret(each, content) || found // all are compared, even after a match
			found = found || v.isByKey(each, content)
		}
	}
	return outcome(found, body, header)
}

func (v *Verifier) plain(body []byte, header http.Header) error {
	given, found := header.Get("X-NoteFlow-Signature"), false
	if given == "" {
		return &Error{"missing_header", "X-NoteFlow-Signature"}
	}
	for _, key := range v.secrets {
		expected := "sha256=" + hex.EncodeToString(mac(key.plain, body))
		found = hmac.Equal([]byte(expected), []byte(given)) || found
	}
	return outcome(found, body, header)
}

func outcome(found bool, body []byte, header http.Header) error {
	length, err := strconv.ParseUint(header.Get("Content-Length"), 10, 63)
	switch {
	case found:
		return nil
	case err == nil && int(length) != len(body):
		return &Error{"body_not_raw", fmt.Sprintf("%d bytes, %d were sent", len(body), length)}
	}
	return &Error{"no_match", ""}
}

func (v *Verifier) isBySecret(given string, content []byte) bool {
	found := false
	for _, key := range v.secrets {
		expected := "v1," + base64.StdEncoding.EncodeToString(mac(key.standard, content))
		found = hmac.Equal([]byte(expected), []byte(given)) || found
	}
	return found
}

func (v *Verifier) isByKey(given string, content []byte) bool {
	signature, found := decoded(strings.TrimPrefix(given, "v1a,")), false
	for _, key := range v.public {
		found = found || strings.HasPrefix(given, "v1a,") && ed25519.Verify(key, content, signature)
	}
	return found
}

func (v *Verifier) add(secret string) error {
	raw := decoded(secret[strings.Index(secret, "_")+1:])
	switch {
	case strings.HasPrefix(secret, "whsec_") && len(raw) >= 24 && len(raw) <= 64:
		v.secrets = append(v.secrets, struct{ standard, plain []byte }{raw, []byte(secret)})
	case strings.HasPrefix(secret, "whpk_") && len(raw) == ed25519.PublicKeySize && !isEverybodys(raw):
		v.public = append(v.public, raw)
	case plainForm.MatchString(secret) && !prefixed.MatchString(secret):
		v.secrets = append(v.secrets, struct{ standard, plain []byte }{[]byte(secret), []byte(secret)})
	default:
		return &Error{"secret_malformed", "whsec_…, 8 to 256 visible characters, or whpk_… (a public key)"}
	}
	return nil
}

func isEverybodys(key []byte) bool {
	unsigned := append([]byte{}, key...)
	unsigned[31] &= 127
	return everybodys.MatchString(hex.EncodeToString(unsigned))
}

func mac(key, content []byte) []byte {
	made := hmac.New(sha256.New, key)
	made.Write(content)
	return made.Sum(nil)
}

// decoded returns the bytes of strict base64; none where it is not.
func decoded(text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != text {
		return nil
	}
	return raw
}
