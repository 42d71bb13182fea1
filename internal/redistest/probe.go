package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"time"
)

// probe returns nil if the process pid answers a PING at the server's address.
//
// The pid is compared since on TCP another redis-server may have been quicker to take the port; ours is about to fail
// then, but the stranger already says PONG. The password is given, where we have one, since a server asks for it even
// while it loads its data and serves nobody. One whose password we do not have has answered well enough.
func (s *Server) probe(pid int) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(doTimeout)); err != nil {
		return err
	}
	hello := "PING\r\nINFO server\r\n"
	if pw := s.password(); pw != "" {
		hello = fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(pw), pw) + hello
	}
	if _, err := conn.Write([]byte(hello)); err != nil {
		return err
	}
	ours := fmt.Sprintf("process_id:%d", pid)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == ours, strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-NOPERM"):
			return nil
		case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "process_id:"):
			return fmt.Errorf("it said %q, want +PONG and %s", line, ours)
		}
	}
	return errors.Join(errors.New("the answer broke off"), lines.Err())
}
