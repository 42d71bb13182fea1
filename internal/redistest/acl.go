package redistest

import "strings"

// User replaces an ACL user by one with this password and these rules, as in "~locks:* +get".
func (s *Server) User(name, password, rules string) {
	s.t.Helper()
	args := []string{"ACL", "SETUSER", name, "reset", "on", ">" + password}
	s.MustDo(append(args, strings.Fields(rules)...)...)
}
