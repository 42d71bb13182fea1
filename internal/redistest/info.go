package redistest

import (
	"fmt"
	"strings"
)

// Stat returns a number that INFO shows in a section, such as tracking_clients in clients.
func (s *Server) Stat(section, name string) int {
	s.t.Helper()
	n, found := s.info(section, name+":%d")
	if !found {
		s.t.Fatalf("redistest: INFO %s at %s has no %s", section, s.addr, name)
	}
	return n
}

// Calls returns how often the server has executed a command, in scripts too, by its name in INFO commandstats:
// "set", "script|load".
func (s *Server) Calls(command string) int {
	s.t.Helper()
	n, _ := s.info("commandstats", "cmdstat_"+command+":calls=%d")
	return n
}

// Knows reports whether the server has a command.
func (s *Server) Knows(command string) bool {
	s.t.Helper()
	list, _ := s.MustDo("COMMAND", "INFO", command).([]any)
	return len(list) == 1 && list[0] != nil
}

// RunID returns what the server calls itself: another one after each start.
func (s *Server) RunID() string {
	s.t.Helper()
	text, _ := s.MustDo("INFO", "server").(string)
	_, rest, _ := strings.Cut(text, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// info returns the number in the first line of the section that has the format.
func (s *Server) info(section, format string) (n int, found bool) {
	s.t.Helper()
	text, _ := s.MustDo("INFO", section).(string)
	for line := range strings.Lines(text) {
		if _, err := fmt.Sscanf(line, format, &n); err == nil {
			return n, true
		}
	}
	return 0, false
}
