package sim

import (
	"fmt"
	"time"
)

// What CLIENT TRACKING ON does: a connection that has asked for the time left of a
// key is told once when any client changes it. As on Redis, an expiry is no
// such change until somebody comes upon it; here nobody ever does.

// NoTracking makes the server refuse CLIENT TRACKING from now on, or not any more.
func (s *Server) NoTracking(refuse bool) { s.change(func() { s.blind = refuse }) }

// startTracking is called with mu held.
func (s *Server) startTracking(c *conn) (reply []byte) {
	if s.blind {
		return text("-NOPERM this user has no permissions to run the 'client|tracking' command")
	}
	c.tracking = true
	return text("+OK")
}

// keyState is what a tracked key was before a command.
type keyState struct {
	value string
	left  time.Duration
}

func (s *Server) keyState(key string) keyState { return keyState{s.Get(key), s.TTL(key)} }

// track notes the interest of a connection in a key.
func (s *Server) track(c *conn, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.tracking {
		return
	}
	if s.interest[key] == nil {
		s.interest[key] = make(map[*conn]bool)
	}
	s.interest[key][c] = true
}

// tracked are the keys that somebody is interested in.
func (s *Server) tracked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.interest {
		keys = append(keys, key)
	}
	return keys
}

// alter does something to the keys, and tells the connections that watch those which
// change. Called with executing held.
func (s *Server) alter(do func()) {
	before := make(map[string]keyState)
	for _, key := range s.tracked() {
		before[key] = s.keyState(key)
	}
	do()
	for key, was := range before {
		if s.keyState(key) != was {
			s.invalidate(key, fmt.Sprintf("*1\r\n$%d\r\n%s\r\n", len(key), key))
		}
	}
}

// flushed tells everyone that all keys are gone. Called with executing held.
func (s *Server) flushed() {
	for _, key := range s.tracked() {
		s.invalidate(key, "_\r\n")
	}
}

// invalidate pushes to the connections that are interested in the key, and forgets the interest.
func (s *Server) invalidate(key, names string) {
	s.change(func() {
		for c := range s.interest[key] {
			if !c.dead && !c.left && !c.mute && !s.losing {
				c.out = c.send(c.out, []byte(">2\r\n$10\r\ninvalidate\r\n"+names), s.replies.draw(c.random))
			}
		}
		delete(s.interest, key)
	})
}
