package instance

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

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

// MarshalJSON writes states and errors as text, and durations as numbers of milliseconds.
func (h Health) MarshalJSON() ([]byte, error) {
	type plain struct {
		Name       string    `json:"name"`
		State      string    `json:"state"`
		Since      time.Time `json:"since"`
		Err        string    `json:"error,omitempty"`
		Latency    float64   `json:"latency_ms,omitempty"`
		Quarantine float64   `json:"quarantine_ms,omitempty"`
		Mailbox    int       `json:"mailbox"`
		RunID      string    `json:"run_id,omitempty"`
		Stepped    float64   `json:"stepped_ms,omitempty"`
		SteppedAt  time.Time `json:"stepped_at,omitzero"`
	}
	return json.Marshal(plain{
		h.Name, h.State.String(), h.Since, textOf(h.Err), millis(h.Latency), millis(h.Quarantine), h.Mailbox, h.RunID,
		millis(h.Stepped), h.SteppedAt,
	})
}

// MarshalJSON writes kinds and errors as text, and tokens abbreviated, as String
// does, and the time left as a number of milliseconds. One that is not known is left out.
func (v Vote) MarshalJSON() ([]byte, error) {
	type plain struct {
		Instance string  `json:"instance"`
		Kind     string  `json:"kind"`
		Holder   string  `json:"holder,omitempty"`
		Readers  int     `json:"readers,omitempty"`
		Left     float64 `json:"left_ms,omitempty"`
		Fence    uint64  `json:"fence,omitempty"`
		Err      string  `json:"error,omitempty"`
	}
	holder := ""
	if v.Holder != "" {
		holder = abbreviate(v.Holder)
	}
	return json.Marshal(plain{v.Instance, v.Kind.String(), holder, v.Readers, millis(max(0, v.Left)), v.Fence, textOf(v.Err)})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
