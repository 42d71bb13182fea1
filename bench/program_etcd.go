package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// etcdServer is a cluster of one. It writes every change to disk before it answers, as it always does.
var etcdServer = &program{
	name: "etcd",
	by:   "make etcd",
	args: func(s *server) []string {
		client, peer := "http://"+s.addr, "http://"+freeAddr()
		return []string{
			"--name", "one", "--data-dir", "data",
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one=" + peer,
		}
	},
	probe: func(ctx context.Context, s *server) error {
		conn, err := s.dial(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /health HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		answer, err := io.ReadAll(io.LimitReader(conn, 1<<12))
		if err == nil && !strings.Contains(string(answer), `"health":"true"`) {
			err = fmt.Errorf("it said %q", answer)
		}
		return err
	},
}
