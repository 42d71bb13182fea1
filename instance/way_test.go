package instance

import (
	"context"
	"crypto/tls"
	"net"
	"reflect"
	"testing"

	"github.com/holdfast-go/holdfast/internal/reach"
)

// parse reads a URL into the Config that says the same.
func parse(raw string) (Config, error) {
	w, err := reach.Parse(raw, false)
	return Config{
		Timeout: w.Timeout,
		Addr:    w.Addr, Username: w.Username, Password: w.Password, Credentials: w.Credentials,
		DB: w.DB, ClientName: w.ClientName,
		TLS: w.TLS, CAFile: w.CAFile, CertFile: w.CertFile, KeyFile: w.KeyFile, ServerName: w.ServerName,
		Dialer: w.Dialer, AddrMap: w.AddrMap, Sentinel: Sentinel(w.Sentinel), Cluster: w.Cluster,
	}, err
}

// A field of the Config that is not handed on would have no effect.
func TestTheWayHasAllThatTheConfigSaysOfIt(t *testing.T) {
	cfg := reflect.ValueOf(Config{
		Timeout: 1, Addr: "a", Username: "u", Password: "p", DB: 1, ClientName: "c",
		TLS: new(tls.Config), CAFile: "ca", CertFile: "cert", KeyFile: "key", ServerName: "name",
		AddrMap: map[string]string{"a": "b"}, Sentinel: Sentinel{Master: "m"}, Cluster: []string{"n"},
	})
	way := reflect.ValueOf(cfg.Interface().(Config).way())
	for k := range way.NumField() {
		name := way.Type().Field(k).Name
		from := cfg.FieldByName(name)
		switch {
		case name == "Credentials", name == "Dialer": // funcs cannot be compared
		case !from.IsValid() || from.IsZero():
			t.Errorf("%s: this test does not set it", name)
		case name == "Sentinel":
			if way.Field(k).FieldByName("Master").String() != "m" {
				t.Errorf("%s is %v", name, way.Field(k))
			}
		case !reflect.DeepEqual(way.Field(k).Interface(), from.Interface()):
			t.Errorf("%s is %v, want %v", name, way.Field(k), from)
		}
	}
	if MaxTimeout != reach.MaxTimeout {
		t.Errorf("a URL may ask for %v, and a Config for %v", reach.MaxTimeout, MaxTimeout)
	}
	w := Config{
		Credentials: func(context.Context) (username, password string, err error) { return "", "", nil },
		Dialer:      new(net.Dialer).DialContext,
	}.way()
	if w.Credentials == nil || w.Dialer == nil {
		t.Error("Credentials or Dialer is missing")
	}
}
