package instance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// All that a URL can say has a field, and a field wins over the URL. No format shows a
// password.
func ExampleConfig() {
	cfg := instance.Config{
		Name:     "redis-a",
		Addr:     "a.example.com:6379",
		Username: "locks",
		Password: "hunter2",
		DB:       3,

		ClientName: "billing",              // what CLIENT LIST shows
		Timeout:    200 * time.Millisecond, // of one round trip; at most instance.MaxTimeout
		Mailbox:    4096,                   // messages that wait, before a vote is Busy
		Batch:      256,                    // commands in one pipeline

		ServerName: "redis.example.com", // that the server's certificate must have; it turns TLS on
	}
	i, err := instance.Dial("", cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(i.Name(), "waits", i.Timeout(), "for an answer")
	fmt.Println(cfg.LogValue())

	cfg.Timeout = 2 * instance.MaxTimeout
	_, err = instance.Dial("", cfg)
	fmt.Println(err)
	// Output:
	// redis-a waits 200ms for an answer
	// [Name=redis-a Timeout=200ms Mailbox=4096 Batch=256 Addr=a.example.com:6379 Username=locks Password=*** DB=3 ClientName=billing ServerName=redis.example.com]
	// instance: Timeout is 48h0m0s: it must be from 1ms to 24h0m0s
}

// A certificate of our own is read by Dial, so that one that is missing is an error at once.
func ExampleConfig_tls() {
	_, err := instance.Dial("redis://a.example.com", instance.Config{
		TLS:      &tls.Config{MinVersion: tls.VersionTLS13},
		CertFile: "missing.pem",
		KeyFile:  "missing-key.pem",
	})
	fmt.Println(err)
	// Output: instance: the client's certificate: open missing.pem: no such file or directory
}

// A Redis Cluster is one instance. One address is enough, as long as that node answers.
func ExampleConfig_cluster() {
	i, err := instance.Dial("", instance.Config{Cluster: []string{"10.0.0.1:6379", "10.0.0.2:6379"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(i.Name())
	// Output: cluster 10.0.0.1:6379,10.0.0.2:6379
}

// The sentinels have a user and a password of their own, and may speak plainly where the
// master speaks TLS.
func ExampleSentinel() {
	s := instance.Sentinel{
		Addrs:    []string{"10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"},
		Master:   "locks",
		Username: "watcher",
		Password: "hunter2",
		Plain:    true,
	}
	i, err := instance.Dial("rediss://", instance.Config{Sentinel: s})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(i.Name())
	fmt.Println(s.LogValue())

	// Where the password of the sentinels changes, and TLS has a name of its own there:
	s.Username, s.Password, s.Plain = "", "", false
	s.Credentials = func(context.Context) (username, password string, err error) { return "watcher", readPassword(), nil }
	s.TLS = &tls.Config{ServerName: "sentinels.example.com"}
	_, err = instance.Dial("rediss://", instance.Config{Sentinel: s})
	fmt.Println(err)
	// Output:
	// locks via 10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379
	// [Addrs=[10.0.0.1:26379 10.0.0.2:26379 10.0.0.3:26379] Master=locks Username=watcher Password=*** Plain=true]
	// <nil>
}

// readPassword stands for a file, or a vault.
func readPassword() string { return "hunter2" }

// The votes of an error say what each instance answered. This is what a program can find
// in one.
func ExampleVote() {
	for _, v := range []instance.Vote{
		{Instance: "redis-a", Kind: instance.Held, Holder: "a page of the cache…", Err: instance.ErrForeign},
		{Instance: "redis-b", Kind: instance.Stale, Fence: 1784000000000000, Again: true},
		{Instance: "redis-c", Kind: instance.TimedOut},
	} {
		switch {
		case !v.Answered():
			fmt.Println(v.Instance, "may yet act on the question:", v.Kind)
		case errors.Is(v.Err, instance.ErrForeign):
			fmt.Println(v.Instance, "has something else under that name")
		case v.Kind == instance.Stale:
			fmt.Println(v.Instance, "has granted", v.Fence, "or a higher fence; asked twice:", v.Again)
		}
	}
	// Output:
	// redis-a has something else under that name
	// redis-b has granted 1784000000000000 or a higher fence; asked twice: true
	// redis-c may yet act on the question: timed out
}
