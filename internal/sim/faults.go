package sim

import (
	"math/rand/v2"
	"time"
)

// span is a range of times.
type span struct{ low, high time.Duration }

func (s span) draw(r *rand.Rand) time.Duration {
	if s.high <= s.low {
		return s.low
	}
	return s.low + time.Duration(r.Int64N(int64(s.high-s.low)))
}

// Latency sets how long requests and replies are on their way from now on.
func (s *Server) Latency(requests, replies time.Duration) {
	s.change(func() { s.requests, s.replies = span{requests, requests}, span{replies, replies} })
}

// Jitter makes every request and reply take a random time on its way, at least
// low and less than high.
func (s *Server) Jitter(low, high time.Duration) {
	s.change(func() { s.requests, s.replies = span{low, high}, span{low, high} })
}

// Hang stops the server as SIGSTOP does: connections and requests are accepted,
// and nothing is done, until Thaw.
func (s *Server) Hang() { s.change(func() { s.hung = true }) }

// Thaw lets a server that hangs go on: it serves everything that has come
// meanwhile, also on connections that the client has left.
func (s *Server) Thaw() { s.change(func() { s.hung = false }) }

// ThawReordered is Thaw with the connections that the client has left served
// last, late behind the others: what is still in their sockets is executed after
// what came on newer ones.
func (s *Server) ThawReordered(late time.Duration) {
	s.change(func() {
		s.hung = false
		for c := range s.conn {
			if c.left {
				c.resume = time.Now().Add(late)
			}
		}
	})
}

// Cut breaks all connections, with whatever is on its way, and refuses new ones
// until Mend. The server itself lives on.
func (s *Server) Cut() {
	s.change(func() {
		s.cut = true
		s.breakAll()
	})
}

// Mend ends Cut.
func (s *Server) Mend() { s.change(func() { s.cut = false }) }

// Break breaks all connections, once: the next dial succeeds.
func (s *Server) Break() { s.change(s.breakAll) }

// LoseReplies makes the server execute everything and its answers get lost,
// from now on or not any more. A connection that lost a reply stays mute.
func (s *Server) LoseReplies(lose bool) { s.change(func() { s.losing = lose }) }

// LoseRequests makes requests get lost on their way, from now on or not any more.
// A connection that lost one carries no other to the server.
func (s *Server) LoseRequests(lose bool) { s.change(func() { s.deaf = lose }) }

// Twice makes the server execute every command two times in a row and give the
// first answer, from now on or not any more.
func (s *Server) Twice(twice bool) { s.change(func() { s.twice = twice }) }

// Refuse makes the server answer every command, except those of a connection's
// greeting, with this error; "" ends it.
func (s *Server) Refuse(text string) { s.change(func() { s.refusal = text }) }

// ForbidKill makes the server refuse CLIENT KILL, as an ACL does.
func (s *Server) ForbidKill() { s.change(func() { s.unkind = true }) }

// Restart is a crash: all connections break, and all keys and scripts are gone.
// The new process has a new run_id and no age. It does not hang.
func (s *Server) Restart() { s.restart(false) }

// RestartWithMemory is a crash that has lost no key, as with appendfsync always.
func (s *Server) RestartWithMemory() { s.restart(true) }

func (s *Server) restart(remember bool) {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.change(func() {
		s.breakAll()
		s.hung = false
		s.starts++
		s.started = s.clock.now()
	})
	if !remember {
		s.forget()
		s.rank.former = ""
	}
	s.store.forgetScripts()
}

// Forget deletes all keys, as FLUSHALL does.
func (s *Server) Forget() {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.forget()
}

// ForgetScripts is SCRIPT FLUSH.
func (s *Server) ForgetScripts() {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.store.forgetScripts()
}

// Age makes the process as old as this.
func (s *Server) Age(age time.Duration) {
	s.change(func() { s.started = s.clock.now().Add(-age) })
}

// SetClock steps the server's clock, and has it run at this rate from now on: its
// seconds in one of the bubble's. It needs a native server.
func (s *Server) SetClock(step time.Duration, rate float64) { s.SwingClock(step, rate, 0) }

// SwingClock is SetClock for a clock that is kept near the time, as by NTP: it runs at this rate for so long, for as long
// as much slower or faster, and so on.
func (s *Server) SwingClock(step time.Duration, rate float64, swing time.Duration) {
	if _, ok := s.store.(*native); !ok {
		panic("sim: only a native server has a clock of its own")
	}
	s.clock.set(step, rate, swing)
}

// StepClock steps the server's clock. It needs a native server.
func (s *Server) StepClock(d time.Duration) {
	if _, ok := s.store.(*native); !ok {
		panic("sim: only a native server has a clock of its own")
	}
	s.clock.step(d)
}
