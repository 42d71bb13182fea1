package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// redisServer keeps nothing on disk.
var redisServer = &program{
	name: "redis-server",
	by:   "make redis",
	unix: true,
	args: func(s *server) []string {
		args := []string{"--save", "", "--appendonly", "no"}
		if s.network == "unix" {
			return append(args, "--port", "0", "--unixsocket", s.addr)
		}
		host, port, _ := net.SplitHostPort(s.addr)
		return append(args, "--bind", host, "--port", port)
	},
	probe: func(ctx context.Context, s *server) error {
		conn, err := s.dial(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("INFO server\r\n")); err != nil {
			return err
		}
		ours := fmt.Sprintf("process_id:%d", s.pid())
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch line := lines.Text(); {
			case line == ours:
				return nil
			case strings.HasPrefix(line, "process_id:"), strings.HasPrefix(line, "-"):
				return fmt.Errorf("it said %q, want %s", line, ours)
			}
		}
		return errors.New("the answer broke off")
	},
}
