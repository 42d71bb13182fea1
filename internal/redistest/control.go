package redistest

// Pause freezes the server (SIGSTOP) and returns when it is frozen: connections stay open, new ones are accepted by the
// kernel, and nobody gets an answer.
func (s *Server) Pause() {
	s.t.Helper()
	s.must("pause", (*process).stop)
}

// Resume lets a paused server run on, with its memory and with what has been sent to it meanwhile.
func (s *Server) Resume() {
	s.t.Helper()
	s.must("resume", (*process).cont)
}

// Kill ends the server (SIGKILL), paused or not, and returns when it is gone. A dead one stays dead.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc.kill()
}

// Restart kills the server, if it is not dead already, starts it again at the same address, and returns when it answers.
// It comes back with what is on its disk, which is nothing unless the test asked for it (by SAVE, or "--appendonly yes").
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc.kill()
	if err := s.startLocked(); err != nil {
		s.t.Fatalf("s.startLocked: %v", err)
	}
}

// must does something to the process that can only be done to a live one.
func (s *Server) must(verb string, do func(*process) error) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(s.proc); err != nil {
		s.t.Fatalf("redistest: cannot %s redis-server at %s: %v", verb, s.addr, err)
	}
}
