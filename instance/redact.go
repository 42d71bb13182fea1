package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
)

// secrets are what must never be shown of one instance: its passwords, as they
// are and as URLs spell them. They sit behind a func value so that no format
// prints them by reflection.
type secrets struct {
	busy   chan struct{} // one slot: one call to a user's Credentials at a time
	reveal func() []string
	add    func(password string)
}

// maxSecrets bounds how many passwords of a provider are remembered: a password
// that was replaced long ago is in no error any more.
const maxSecrets = 64

func newSecrets(passwords ...string) *secrets {
	var mu sync.Mutex
	var known []string
	s := &secrets{busy: make(chan struct{}, 1)}
	s.reveal = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(known)
	}
	s.add = func(password string) {
		if password == "" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		oneLine := strings.NewReplacer("\r", " ", "\n", " ").Replace(password) // as an error has it
		for _, spelling := range []string{password, oneLine, url.QueryEscape(password), url.PathEscape(password)} {
			if !slices.Contains(known, spelling) {
				known = append(known, spelling)
			}
		}
		if len(known) > maxSecrets {
			known = slices.Delete(known, 0, len(known)-maxSecrets)
		}
	}
	for _, p := range passwords {
		s.add(p)
	}
	return s
}

type credentials struct{ username, password string }

// watch makes a user's provider safe to be called by an actor: it is left when
// ctx ends, and what it returns is a secret.
func (s *secrets) watch(provider func(context.Context) (string, string, error)) func(context.Context) (string, string, error) {
	return func(ctx context.Context) (string, string, error) {
		c, err := heed(ctx, s.busy, func() (c credentials, err error) {
			c.username, c.password, err = provider(ctx)
			return c, err
		}, func(credentials) {})
		s.add(c.password)
		return c.username, c.password, err
	}
}

// current asks a streaming provider for what is good now, as every new connection
// does. A connection that stands is not told of later credentials: go-redis cannot
// do that on one that it does not pool, and a server that wants them ends it.
func current(provider auth.StreamingCredentialsProvider) func(context.Context) (string, string, error) {
	return func(context.Context) (username, password string, err error) {
		c, unsubscribe, err := provider.Subscribe(new(deaf))
		if err != nil {
			return "", "", err
		}
		username, password = c.BasicAuth()
		if unsubscribe != nil {
			err = unsubscribe()
		}
		return username, password, err
	}
}

// deaf listens to nothing. It has a size, so that no two are the same listener.
type deaf struct{ _ byte }

func (*deaf) OnNext(auth.Credentials) {}
func (*deaf) OnError(error)           {}

// heedfulHook makes a client's OnConnect return when ctx ends, whether or not it
// does so itself. busy is as in heed.
func heedfulHook(hook func(context.Context, *redis.Conn) error, busy chan struct{}) func(context.Context, *redis.Conn) error {
	if hook == nil {
		return nil
	}
	return func(ctx context.Context, conn *redis.Conn) error {
		_, err := heed(ctx, busy, func() (struct{}, error) { return struct{}{}, hook(ctx, conn) }, func(struct{}) {})
		return err
	}
}

// watchOptions does that for the provider of a client, as go-redis chooses it.
func (s *secrets) watchOptions(opt *redis.Options) {
	switch {
	case opt.StreamingCredentialsProvider != nil:
		opt.CredentialsProviderContext = s.watch(current(opt.StreamingCredentialsProvider))
		opt.StreamingCredentialsProvider = nil
	case opt.CredentialsProviderContext != nil:
		opt.CredentialsProviderContext = s.watch(opt.CredentialsProviderContext)
	case opt.CredentialsProvider != nil:
		provider := opt.CredentialsProvider
		opt.CredentialsProviderContext = s.watch(func(context.Context) (username, password string, err error) {
			username, password = provider()
			return username, password, nil
		})
	}
}

// hide takes a secret out of a text. Of a long one its beginning is enough, since
// servers cut what they quote. A short one is hidden where it is quoted: elsewhere it
// is likely to be a part of a word, and hiding it would tell what it is.
func hide(text, secret string) string {
	const short, long = 4, 16
	switch {
	case len(secret) < short:
		for _, mark := range []string{"'", `"`, "`"} {
			text = strings.ReplaceAll(text, mark+secret+mark, mark+"***"+mark)
		}
		return text
	case len(secret) < long:
		return strings.ReplaceAll(text, secret, "***")
	}
	var b strings.Builder
	for {
		before, from, found := strings.Cut(text, secret[:long])
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("***")
		rest := secret[long:]
		for from != "" && rest != "" && from[0] == rest[0] {
			from, rest = from[1:], rest[1:]
		}
		text = from
	}
}

// longestQuote is how much is shown of what a server says.
const longestQuote = 512

var (
	// Redis, and what stands in front of it, quotes what came with a command that it does not know.
	quotedArgs = regexp.MustCompile("(?s),? with args beginning with:.*")
	// A token of ours, or the beginning of one.
	quotedToken = regexp.MustCompile(`\b[A-Z2-7]{20,}\b`)
)

// quoted is what a server said as it may be shown: on one line, without the arguments
// that it quotes and without whole tokens. Another error, or one with nothing to hide, is
// returned as it is.
func quoted(err error) error {
	if !isServerError(err) {
		return err
	}
	text := err.Error()
	clean := quotedArgs.ReplaceAllLiteralString(text, " (its arguments are not shown)")
	clean = quotedToken.ReplaceAllStringFunc(clean, func(token string) string { return token[:4] + "…" })
	clean = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, clean)
	if len(clean) > longestQuote {
		clean = strings.ToValidUTF8(clean[:longestQuote], "") + "…"
	}
	if clean == text {
		return err
	}
	return serverError(clean)
}

// redact takes the instance's secrets out of an error's text, and what a server quotes. The original is
// dropped then: a %+v or a type switch must not bring them back. What is kept is
// whether the server itself said it.
func (i *Instance) redact(err error) error {
	text := err.Error()
	clean := quoted(err).Error()
	if i.secrets != nil {
		for _, secret := range i.secrets.reveal() {
			clean = hide(clean, secret)
		}
	}
	switch {
	case clean == text:
		return err
	case isServerError(err):
		return redacted{serverError(clean), refusalOf(err)}
	}
	return errors.New(clean)
}

// redacted is a server's error whose text has been changed. What kind of refusal it
// is has been found before that: the text may begin otherwise now.
type redacted struct {
	serverError
	kind *refusal
}

// shown is the Config as it may be seen: what is set, in the fields' order.
func (c Config) shown() []slog.Attr {
	var attrs []slog.Attr
	add := func(key string, set bool, value any) {
		if set {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	add("Name", c.Name != "", c.Name)
	add("Timeout", c.Timeout != 0, c.Timeout.String())
	add("Mailbox", c.Mailbox != 0, c.Mailbox)
	add("Batch", c.Batch != 0, c.Batch)
	add("Addr", c.Addr != "", c.Addr)
	add("Username", c.Username != "", c.Username)
	add("Password", c.Password != "", "***")
	add("Credentials", c.Credentials != nil, "func")
	add("DB", c.DB != 0, c.DB)
	add("ClientName", c.ClientName != "", c.ClientName)
	add("TLS", c.TLS != nil, "config")
	add("CAFile", c.CAFile != "", c.CAFile)
	add("CertFile", c.CertFile != "", c.CertFile)
	add("KeyFile", c.KeyFile != "", c.KeyFile)
	add("ServerName", c.ServerName != "", c.ServerName)
	add("Dialer", c.Dialer != nil, "func")
	add("AddrMap", len(c.AddrMap) > 0, c.AddrMap)
	add("Sentinel", !c.Sentinel.isZero(), c.Sentinel)
	add("Cluster", len(c.Cluster) > 0, c.Cluster)
	return attrs
}

func (s Sentinel) shown() []slog.Attr {
	var attrs []slog.Attr
	add := func(key string, set bool, value any) {
		if set {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	add("Addrs", len(s.Addrs) > 0, s.Addrs)
	add("Master", s.Master != "", s.Master)
	add("Username", s.Username != "", s.Username)
	add("Password", s.Password != "", "***")
	add("Credentials", s.Credentials != nil, "func")
	add("TLS", s.TLS != nil, "config")
	add("Plain", s.Plain, s.Plain)
	return attrs
}

func line(name string, attrs []slog.Attr) string {
	var b strings.Builder
	b.WriteString(name + "{")
	for k, a := range attrs {
		if k > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %v", a.Key, a.Value.Any())
	}
	b.WriteByte('}')
	return b.String()
}

func object(attrs []slog.Attr) ([]byte, error) {
	fields := make(map[string]any, len(attrs))
	for _, a := range attrs {
		fields[a.Key] = a.Value.Any()
	}
	return json.Marshal(fields)
}

// String is one line: what is set, without passwords.
func (c Config) String() string { return line("instance.Config", c.shown()) }

// GoString is String: %#v shows no password either.
func (c Config) GoString() string { return c.String() }

// Format writes String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON writes what is set, without passwords.
func (c Config) MarshalJSON() ([]byte, error) { return object(c.shown()) }

// LogValue is what is set, without passwords.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.shown()...) }

// String is one line: what is set, without passwords.
func (s Sentinel) String() string { return line("instance.Sentinel", s.shown()) }

// GoString is String: %#v shows no password either.
func (s Sentinel) GoString() string { return s.String() }

// Format writes String for every verb.
func (s Sentinel) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON writes what is set, without passwords.
func (s Sentinel) MarshalJSON() ([]byte, error) { return object(s.shown()) }

// LogValue is what is set, without passwords.
func (s Sentinel) LogValue() slog.Value { return slog.GroupValue(s.shown()...) }

// String names the instance, without secrets.
func (i *Instance) String() string { return i.name }

// GoString keeps what is inside out of %#v.
func (i *Instance) GoString() string { return i.name }

// Format writes the name for every verb.
func (i *Instance) Format(f fmt.State, _ rune) {
	if i == nil {
		_, _ = io.WriteString(f, "<nil>")
		return
	}
	_, _ = io.WriteString(f, i.name)
}

// MarshalJSON writes the instance's health.
func (i *Instance) MarshalJSON() ([]byte, error) { return json.Marshal(i.Health()) }

// LogValue is the instance's name.
func (i *Instance) LogValue() slog.Value { return slog.StringValue(i.name) }

// MarshalJSON writes states and errors as text.
func (h Health) MarshalJSON() ([]byte, error) {
	type plain struct {
		Name       string    `json:"name"`
		State      string    `json:"state"`
		Since      time.Time `json:"since"`
		Err        string    `json:"error,omitempty"`
		Latency    string    `json:"latency,omitempty"`
		Quarantine string    `json:"quarantine,omitempty"`
		Waiting    int       `json:"waiting"`
		RunID      string    `json:"run_id,omitempty"`
	}
	return json.Marshal(plain{h.Name, h.State.String(), h.Since, textOf(h.Err), spanOf(h.Latency), spanOf(h.Quarantine), h.Waiting, h.RunID})
}

// MarshalJSON writes kinds and errors as text, and tokens abbreviated, as String
// does. A time left that is not known is left out.
func (v Vote) MarshalJSON() ([]byte, error) {
	type plain struct {
		Instance string `json:"instance"`
		Kind     string `json:"kind"`
		Holder   string `json:"holder,omitempty"`
		Left     string `json:"left,omitempty"`
		Fence    uint64 `json:"fence,omitempty"`
		Err      string `json:"error,omitempty"`
	}
	holder := ""
	if v.Holder != "" {
		holder = abbreviate(v.Holder)
	}
	return json.Marshal(plain{v.Instance, v.Kind.String(), holder, spanOf(max(0, v.Left)), v.Fence, textOf(v.Err)})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func spanOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
