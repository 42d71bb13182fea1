package redistest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Do runs one command on a connection of its own and returns its reply as go-redis does: string, int64, []any. A nil
// reply is (nil, nil). With a server that is paused it takes a second to fail.
func (s *Server) Do(args ...string) (any, error) {
	var reply any
	err := s.session(func(ctx context.Context, conn *redis.Conn) (err error) {
		reply, err = conn.Do(ctx, anys(args)...).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return reply, err
}

// MustDo is Do for commands that cannot fail.
func (s *Server) MustDo(args ...string) any {
	s.t.Helper()
	reply, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("redistest: %s at %s: %v", strings.Join(args, " "), s.addr, err)
	}
	return reply
}

// Get returns the key's value, "" when there is none.
func (s *Server) Get(key string) string {
	s.t.Helper()
	value, _ := s.MustDo("GET", key).(string)
	return value
}

// PTTL returns what is left of the key's life: below zero, -2 ms when there is no such key and -1 ms when it has no TTL.
func (s *Server) PTTL(key string) time.Duration {
	s.t.Helper()
	ms, _ := s.MustDo("PTTL", key).(int64)
	return time.Duration(ms) * time.Millisecond
}

// Set stores the value, for whole milliseconds of ttl, or without an end when it is 0.
func (s *Server) Set(key, value string, ttl time.Duration) {
	s.t.Helper()
	args := []string{"SET", key, value}
	if ttl != 0 {
		args = append(args, "PX", strconv.FormatInt(ttl.Milliseconds(), 10))
	}
	s.MustDo(args...)
}

// Del removes the key, if it is there.
func (s *Server) Del(key string) {
	s.t.Helper()
	s.MustDo("DEL", key)
}

// Keys returns all keys, sorted.
func (s *Server) Keys() []string {
	s.t.Helper()
	var keys []string
	for _, key := range s.MustDo("KEYS", "*").([]any) {
		keys = append(keys, key.(string))
	}
	slices.Sort(keys)
	return keys
}

// FlushAll removes all keys. Unlike Restart it leaves the connections and the run_id alone.
func (s *Server) FlushAll() {
	s.t.Helper()
	s.MustDo("FLUSHALL")
}

// Clients returns the number of open connections, without the one that asks, without subscribers and replicas. One
// that the code under test has just closed may still count for a moment, so wait for the number that you expect.
func (s *Server) Clients() int {
	s.t.Helper()
	var list string
	err := s.session(func(ctx context.Context, conn *redis.Conn) (err error) {
		list, err = conn.Do(ctx, "CLIENT", "LIST", "TYPE", "normal").Text()
		return err
	})
	if err != nil {
		s.t.Fatalf("redistest: CLIENT LIST at %s: %v", s.addr, err)
	}
	return strings.Count(list, "\n") - 1
}

// session lends fn a connection. Each has its own client, so that no pool keeps a connection across a Kill or a Pause,
// or shows up in Clients, and nothing is left to be closed at the test's end.
func (s *Server) session(fn func(context.Context, *redis.Conn) error) error {
	wire, err := s.dial() // here, since go-redis writes to standard error of each server that is down
	if err != nil {
		return err
	}
	defer wire.Close()
	client := redis.NewClient(&redis.Options{
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return wire, nil },
		Password: s.password(),
		Protocol: 2,

		MaxRetries:      -1,
		DialerRetries:   1,
		ReadTimeout:     commandTimeout,
		WriteTimeout:    commandTimeout,
		PoolSize:        1,
		DisableIdentity: true,
	})
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	return fn(context.Background(), conn)
}

// password is the one the test gave on the command line, so that Do works there too.
func (s *Server) password() string {
	if i := slices.Index(s.args, "--requirepass"); i >= 0 && i+1 < len(s.args) {
		return s.args[i+1]
	}
	return ""
}

func anys(args []string) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		list[i] = arg
	}
	return list
}
