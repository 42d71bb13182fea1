package instance

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every spelling of docs/operations.md is understood as it says there.
func TestSpellings(t *testing.T) {
	for raw, want := range map[string]Config{
		"/run/redis.sock":            {Addr: "/run/redis.sock"},
		"REDIS://h":                  {Addr: "h:6379"},
		"redis://[fe80::1%25eth0]:1": {Addr: "[fe80::1%eth0]:1"},
		"redis://h/1?db=2":           {Addr: "h:6379", DB: 2},
		"redis://h?client_name=me":   {Addr: "h:6379", ClientName: "me"},
		"redis://h?read_timeout=3":   {Addr: "h:6379", Timeout: 3 * time.Second},
		"redis://h?read_timeout=2s&dial_timeout=300ms&write_timeout=1m":                     {Addr: "h:6379", Timeout: 300 * time.Millisecond},
		"redis://h?encoding=utf-8&pool_size=3&protocol=3&pool_fifo=true&conn_max_lifetime=": {Addr: "h:6379"},

		"redis://:pw@s:26379/3?master=leader": {
			Addr: "", Password: "pw", DB: 3, Sentinel: Sentinel{Addrs: []string{"s:26379"}, Master: "leader"},
		},
		"redis://s?master=leader":                        {Sentinel: Sentinel{Addrs: []string{"s:26379"}, Master: "leader"}},
		"redis-sentinel://a,b:1,[::1]:2/4?master=leader": {DB: 4, Sentinel: Sentinel{Addrs: []string{"a:26379", "b:1", "[::1]:2"}, Master: "leader"}},
		"redis-sentinel://a,b/4#leader":                  {DB: 4, Sentinel: Sentinel{Addrs: []string{"a:26379", "b:26379"}, Master: "leader"}},
		"redis+sentinel://a/leader/4":                    {DB: 4, Sentinel: Sentinel{Addrs: []string{"a:26379"}, Master: "leader"}},
		"redis+sentinel://a/leader":                      {Sentinel: Sentinel{Addrs: []string{"a:26379"}, Master: "leader"}},
		"redis+sentinel://u:p@a/leader?sentinel_username=su&sentinel_password=sp": {
			Username: "u", Password: "p",
			Sentinel: Sentinel{Addrs: []string{"a:26379"}, Master: "leader", Username: "su", Password: "sp"},
		},

		"redis-cluster://":                              {Cluster: []string{"localhost:6379"}},
		"redis-cluster://u:p@a,b:1,[::1]:2":             {Username: "u", Password: "p", Cluster: []string{"a:6379", "b:1", "[::1]:2"}},
		"redis-cluster://a/0?client_name=me":            {ClientName: "me", Cluster: []string{"a:6379"}},
		"redis-cluster://a,b/3":                         {Cluster: []string{"a:6379", "b:6379"}, DB: 3},
		"redis-cluster://a?db=3":                        {Cluster: []string{"a:6379"}, DB: 3},
		"redis+cluster://a?addr=b&addr=[::1]:2&addr=":   {Cluster: []string{"a:6379", "b:6379", "[::1]:2"}},
		"rediss-cluster://a?pool_size=3&max_retries=2":  {TLS: new(tls.Config), Cluster: []string{"a:6379"}},
		"REDISS+CLUSTER://a?read_timeout=2&encoding=ut": {TLS: new(tls.Config), Timeout: 2 * time.Second, Cluster: []string{"a:6379"}},
	} {
		got, err := parse(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if !same(got, want) {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

// same compares what a URL can say, but for TLS; String hides the passwords.
func same(a, b Config) bool {
	return a.String() == b.String() && a.Password == b.Password && a.Sentinel.Password == b.Sentinel.Password
}

// What is not understood is named, unless it may be a piece of a password.
func TestUnknownIsNamed(t *testing.T) {
	for raw, says := range map[string]string{
		"http://h":                       `unknown scheme "http"`,
		"redis-clusters://h":             `unknown scheme "redis-clusters"`,
		"redis-cluster://h/x":            "the number of a database",
		"redis-cluster://h?master=m":     "a cluster has no sentinels",
		"redis-cluster://h#m":            "#",
		"redis-cluster://h?addr=x:y":     "addr must be the address of a node",
		"redis-cluster://a,b:x":          "port",
		"redis://h?addr=x":               "addr makes sense with a cluster only",
		"redis://h?no_such=1":            `unknown query parameter "no_such"`,
		"redis://h?Master=1":             `unknown query parameter "Master"`,
		"redis://h?master_name=m":        `unknown query parameter "master_name"`,
		"redis://h?pool_size=x":          "pool_size must be a number",
		"redis://h?read_timeout=0":       "read_timeout must be a time from 1ms",
		"redis://h?read_timeout=x":       "read_timeout must be a time",
		"redis://h?pool_fifo=x":          "pool_fifo must be true or false",
		"rediss://h?ssl_cert_reqs=maybe": "ssl_cert_reqs must be CERT_REQUIRED",
		"redis://h?ssl_cert_reqs=none":   "ssl_cert_reqs makes sense with TLS only",
		"redis://h?skip_verify=true":     "skip_verify makes sense with TLS only",
		"redis://h?sentinel_password=x":  "sentinel_password makes sense with sentinels only",
		"redis://h?master=":              "the name of the master is missing",
		"redis-sentinel://h":             "the name of the master is missing",
		"redis-sentinel://h/3":           "the name of the master is missing",
		"redis-sentinel://h/a?master=b":  "master must be the master's one name",
		"redis-sentinel://h/a#b":         "two different names",
		"redis://a,b":                    "several hosts",
		"redis://h#x":                    "#",
		"unix://host/sock":               "no host",
		"unix:///sock?master=m":          "no sentinels",
		"redis://h/1?db=x":               "db must be a number",
		"redis-sentinel://a,b:x/m":       "port",
	} {
		_, err := Dial(raw, Config{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", raw, err, says)
		}
	}
	for field, cfg := range map[string]Config{
		"Sentinel.Master":             {Sentinel: Sentinel{Addrs: []string{"h:1"}}},
		"Addr and Sentinel.Addrs":     {Addr: "h:1", Sentinel: Sentinel{Addrs: []string{"h:1"}, Master: "m"}},
		"Sentinel without Addrs":      {Addr: "h:1", Sentinel: Sentinel{Master: "m"}},
		"a sentinel's address":        {Sentinel: Sentinel{Addrs: []string{"h"}, Master: "m"}},
		"both Cluster and another":    {Addr: "h:1", Cluster: []string{"h:1"}},
		"a cluster node's address":    {Cluster: []string{"h:1", "h"}},
		"DB must not be negative":     {Addr: "h:1", DB: -1},
		"CertFile and KeyFile":        {Addr: "h:1", CertFile: "x"},
		"Sentinel.Plain and Sentinel": {Sentinel: Sentinel{Addrs: []string{"h:1"}, Master: "m", Plain: true, TLS: new(tls.Config)}},
	} {
		_, err := Dial("", cfg)
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v: %v, want it to say %q", cfg, err, field)
		}
	}
}

// A sentinel's master in the Config makes sentinels of the URL's hosts.
func TestMasterInConfig(t *testing.T) {
	for _, raw := range []string{"s", "redis://s", "redis-sentinel://s/4"} {
		i, err := Dial(raw, Config{Sentinel: Sentinel{Master: "leader"}, DB: 3})
		if err != nil || i.Name() != "leader via s:26379/3" {
			t.Errorf("%s: got %v, %v, want it to be named leader via s:26379/3", raw, i, err)
		}
	}
}

func TestPasswordsInTheClearAreWarnedOf(t *testing.T) {
	for raw, want := range map[string]bool{
		"redis://:pw@elsewhere":        true,
		"redis://elsewhere":            false,
		"rediss://:pw@elsewhere":       false,
		"redis://:pw@localhost":        false,
		"redis://:pw@127.0.0.2":        false,
		"redis://:pw@[::1]":            false,
		"unix://:pw@/sock":             false,
		"redis-sentinel://:pw@s/m":     true,
		"rediss-sentinel://:pw@s/m":    false,
		"redis-sentinel://:pw@[::1]/m": false,
		"rediss-sentinel://s/m?sentinel_tls=false&sentinel_password=x": true,
		"redis-cluster://:pw@localhost,elsewhere":                      true,
		"redis-cluster://:pw@localhost,[::1]":                          false,
		"redis-cluster://elsewhere":                                    false,
		"rediss-cluster://:pw@elsewhere":                               false,
	} {
		var log bytes.Buffer
		if _, err := Dial(raw, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if got := strings.Contains(log.String(), "without TLS"); got != want {
			t.Errorf("%s: warned %v, want %v", raw, got, want)
		}
	}
}

var schemeName = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,32}$`)

// FuzzDial: whatever a URL looks like, Dial does not panic, and nothing that
// comes of it shows a password that stands where passwords stand, escaped or not.
func FuzzDial(f *testing.F) {
	for _, kind := range []string{"http", "", "redis", "rediss", "unix", "redis-sentinel", "rediss+sentinel", "redis-cluster", "rediss+cluster"} {
		f.Add(kind, "me", "", "", "host:6379/1")
		f.Add(kind, "", "p?", "#w", "a,b:1/leader/2?sentinel_password=x&master=leader")
	}
	f.Add("unix", "u", "@/", "", "x")
	f.Add("redis", "u", "12?", "=x", "h")
	f.Add("redis", "u", "6379/", "", "h")
	f.Add("rediss", "", "%", "", "[::1]:1?ssl_cert_reqs=none&skip_verify=1")
	f.Add("redis-cluster", "u", ",", "", "a,b:1?addr=c:2&addr=d")
	f.Fuzz(func(t *testing.T, kind, user, before, after, rest string) {
		if !schemeName.MatchString(kind) || strings.ContainsAny(user, "/?#") {
			return // then it is not where passwords stand
		}
		var log bytes.Buffer
		cfg := Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		for _, raw := range []string{
			kind + "://" + user + ":" + before + secret + after + "@" + rest,
			kind + "://" + user + "@" + rest,
			kind + "://h/leader?master=leader&sentinel_tls=1&sentinel_password=" + url.QueryEscape(before+secret+after) + "&sentinel_username=" + url.QueryEscape(user),
			user + ":" + before + secret + after + "@" + rest,
			rest,
		} {
			i, err := Dial(raw, cfg)
			shown := fmt.Sprintf("%v %+v %#v", err, err, err)
			if parsed, err := parse(raw); err == nil {
				text, err := json.Marshal(parsed)
				shown += fmt.Sprintf("%v %+v %#v %d %s %v", parsed, parsed, parsed, parsed, text, err)
			}
			if err == nil {
				text, _ := json.Marshal(i)
				shown += fmt.Sprintf("%v %+v %#v %d %s %v %+v", i, i, i, i, text, i.Health(), i.Vote())
				_ = i.client.Close()
			}
			if strings.Contains(shown+log.String(), secret) && !strings.Contains(rest, secret) {
				t.Fatalf("%q: the password is shown, want it hidden: %s %s", raw, shown, log.String())
			}
		}
	})
}
