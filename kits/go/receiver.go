package webhooks

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"strconv"
)

// status is what each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
var status = map[string]int{
	"missing_header": 401, "malformed_header": 401, "too_old": 401, "too_new": 401, "no_match": 401,
	"not_post": 405, "body_too_large": 413, "body_not_raw": 500, "store_failed": 500, "in_progress": 503,
}

// Receiver is an endpoint, an http.Handler.
type Receiver struct {
	*Verifier
	// Handle is called with each event after the answer, so it may take its time; where it fails, the event is
	// forgotten, so that a redelivery is handled again.
	Handle func(*Event) error
	// Store is called before the answer, and has to be quick: what must outlive this process goes into a table or a
	// queue there. Where it fails, the answer is 500 and the event comes again.
	Store     func(*Event) error
	Seen      Remembers
	MostBytes int64
}

// New returns a receiver, or an Error, secret_malformed.
func New(handle func(*Event) error, secrets ...string) (*Receiver, error) {
	verifier, err := NewVerifier(secrets...)
	if err != nil {
		return nil, err
	}
	return &Receiver{Verifier: verifier, Handle: handle, Seen: &Seen{Most: 100_000}, MostBytes: 1 << 20}, nil
}

// ServeHTTP answers. Events come at least once; of those whose id Seen knows, neither Store nor Handle is called.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		refuse(w, "not_post", nil)
		return
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, r.MostBytes+1))
	if err != nil {
		return // the sender has gone
	}
	if int64(len(body)) > r.MostBytes {
		refuse(w, "body_too_large", nil)
		return
	}
	header := request.Header.Clone() // net/http has taken the length out of it
	if request.ContentLength >= 0 {
		header.Set("Content-Length", strconv.FormatInt(request.ContentLength, 10))
	}
	event, err := r.Verify(body, header)
	var wrong *Error
	if errors.As(err, &wrong) {
		refuse(w, wrong.Reason, err)
	} else if event.Type == "webhook.verification" {
		challenge(w, event)
	} else {
		r.take(w, event)
	}
}

func (r *Receiver) take(w http.ResponseWriter, event *Event) {
	state, err := "new", error(nil)
	if event.ID != "" { // only with the scheme "plain" may there be none
		state, err = r.Seen.Begin(event.ID)
	}
	switch {
	case err != nil:
		refuse(w, "store_failed", err)
		return
	case state == "pending":
		refuse(w, "in_progress", nil)
		return
	case state == "new" && r.Store != nil:
		if err := r.Store(event); err != nil {
			r.forget(event)
			refuse(w, "store_failed", err)
			return
		}
	}
	if state == "new" {
		if err := r.Seen.Done(event.ID); err != nil {
			log.Printf("event %s: %v", event.ID, err)
		}
		go r.after(event)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *Receiver) after(event *Event) {
	if r.Handle == nil {
		return
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			log.Printf("event %s was answered, and could not be handled: %v", event.ID, panicked)
			r.forget(event)
		}
	}()
	if err := r.Handle(event); err != nil {
		log.Printf("event %s was answered, and could not be handled: %v", event.ID, err)
		r.forget(event)
	}
}

func (r *Receiver) forget(event *Event) {
	if err := r.Seen.Forget(event.ID); err != nil {
		log.Printf("event %s: %v", event.ID, err)
	}
}

func challenge(w http.ResponseWriter, event *Event) {
	var payload struct {
		Challenge string `json:"challenge"`
		Data      struct {
			Challenge string `json:"challenge"`
		} `json:"data"`
	}
	_ = json.Unmarshal(event.Body, &payload) // what is signed is JSON; nothing comes of what is not
	answer(w, http.StatusOK, map[string]string{"challenge": payload.Challenge + payload.Data.Challenge})
}

func refuse(w http.ResponseWriter, reason string, err error) {
	log.Printf("a webhook is refused: %s %v", reason, err)
	if status[reason] == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, status[reason], map[string]string{"error": reason})
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the sender may have gone
}
