package webhooks

import "sync"

// Remembers is where ids are remembered. Several processes need one of your own: a table, or Redis.
type Remembers interface {
	// Begin returns "new", and remembers the id as pending, in one step; else "pending" or "done".
	Begin(id string) (string, error)
	Done(id string) error
	Forget(id string) error
}

// Seen remembers the last ids, in this process.
type Seen struct {
	Most   int
	lock   sync.Mutex
	states map[string]string
	order  []string
}

// Begin is as Remembers has it.
func (s *Seen) Begin(id string) (string, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if known := s.states[id]; known != "" {
		return known, nil
	}
	if s.states == nil {
		s.states = map[string]string{}
	}
	s.states[id] = "pending"
	s.order = append(s.order, id)
	if len(s.order) > s.Most {
		delete(s.states, s.order[0])
		s.order = s.order[1:]
	}
	return "new", nil
}

// Done is as Remembers has it.
func (s *Seen) Done(id string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.states[id] != "" {
		s.states[id] = "done"
	}
	return nil
}

// Forget is as Remembers has it.
func (s *Seen) Forget(id string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.states, id)
	return nil
}
