package reach

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Parse reads a URL into the Config that says the same. sentinel: its hosts are known
// to be sentinels. Its errors say what is
// wrong and what would be right, and never quote a part that may hold a secret:
// a password with an unescaped special character in it makes any part of a URL
// such a one, so that only what cannot follow a password is named. The errors of
// net/url quote everything, so none is wrapped.
func Parse(raw string, sentinel bool) (Config, error) {
	if strings.TrimSpace(raw) == "" {
		return Config{}, errors.New("instance: the URL is empty: want redis://host:port, rediss://host:port, unix:///path.sock or host:port")
	}
	cfg, err := parseAny(raw, sentinel)
	if err != nil {
		return Config{}, fmt.Errorf("instance: bad URL: %w", err)
	}
	return cfg, nil
}

// scheme says what comes with the name in front of "://".
type scheme struct{ tls, unix, sentinel, cluster bool }

var schemes = map[string]scheme{
	"redis":           {},
	"rediss":          {tls: true},
	"unix":            {unix: true},
	"redis-sentinel":  {sentinel: true}, // Lettuce's
	"rediss-sentinel": {sentinel: true, tls: true},
	"redis+sentinel":  {sentinel: true}, // of Python's libraries
	"rediss+sentinel": {sentinel: true, tls: true},
	"redis-cluster":   {cluster: true}, // as the sentinels'
	"rediss-cluster":  {cluster: true, tls: true},
	"redis+cluster":   {cluster: true}, // of Python's libraries
	"rediss+cluster":  {cluster: true, tls: true},
}

// The ports that a URL need not name.
const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

const schemeNames = "redis, rediss, unix, redis-sentinel, rediss-sentinel, redis-cluster or rediss-cluster"

func parseAny(raw string, sentinel bool) (Config, error) {
	name, rest, found := strings.Cut(raw, "://")
	switch {
	case !found && strings.HasPrefix(raw, "/"):
		return parsePath(raw)
	case !found:
		return parseAddr(raw, sentinel)
	}
	kind, known := schemes[strings.ToLower(name)]
	if !known {
		if !isWord(name) {
			return Config{}, errors.New("what is in front of :// is no scheme: want " + schemeNames)
		}
		return Config{}, fmt.Errorf("unknown scheme %q: want %s", name, schemeNames)
	}
	authority, tail := cutAny(rest, "/?#")
	user, hosts := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, hosts = authority[:at+1], authority[at+1:]
	}
	if strings.Contains(tail, "@") && (!kind.unix || user != "") {
		return Config{}, errors.New("there is an @ behind the host: percent-encode special characters in user name, password and parameters")
	}
	u, err := url.Parse("x://" + user + "h" + tail) // the hosts are ours to read: net/url knows of one only
	if err != nil {
		return Config{}, errors.New("it cannot be parsed: percent-encode special characters in user name, password and path")
	}
	cfg := Config{Username: u.User.Username()}
	cfg.Password, _ = u.User.Password()
	if kind.tls {
		cfg.TLS = new(tls.Config)
	}
	p := urlParts{kind: kind, hosts: hosts, path: u.Path, fragment: u.Fragment}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errors.New("the query cannot be parsed: percent-encode special characters in it")
	}
	// Which of its forms a URL has depends on this one.
	p.kind.sentinel = kind.sentinel || sentinel || query.Has("master")
	if err := p.read(&cfg); err != nil {
		return Config{}, err
	}
	if err := readQuery(&cfg, p.kind, query); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// urlParts are the parts of a URL that mean different things in its different forms.
type urlParts struct {
	kind                  scheme
	hosts, path, fragment string
}

// read reads hosts, path and fragment.
func (p urlParts) read(cfg *Config) error {
	switch {
	case p.fragment != "" && !p.kind.sentinel:
		return errors.New("there is a # in it: percent-encode special characters in user name and password")
	case p.kind.unix && p.kind.sentinel:
		return errors.New("a unix socket has no sentinels: leave out master")
	case p.kind.unix && p.hosts != "":
		return errors.New("a unix socket has no host: want unix:///path/to.sock, and special characters in the password percent-encoded")
	case p.kind.unix && strings.Trim(p.path, "/") == "":
		return errors.New("the path of the socket is missing: want unix:///path/to.sock")
	case p.kind.unix:
		cfg.Addr = p.path
		return nil
	}
	defaultPort := redisPort
	if p.kind.sentinel {
		defaultPort = sentinelPort
	}
	var addrs []string
	for host := range strings.SplitSeq(p.hosts, ",") {
		addr, err := parseHost(host, defaultPort)
		if err != nil {
			return err
		}
		addrs = append(addrs, addr)
	}
	path := strings.Trim(p.path, "/")
	switch {
	case p.kind.cluster && p.kind.sentinel:
		return errors.New("a cluster has no sentinels: leave out master")
	case p.kind.cluster:
		cfg.Cluster = addrs
		return readDB(cfg, path)
	case !p.kind.sentinel && len(addrs) > 1:
		return errors.New("there are several hosts, but only sentinels and nodes of a cluster may be several: write redis-sentinel://… or redis-cluster://… for those, and one URL for each instance")
	case !p.kind.sentinel:
		cfg.Addr = addrs[0]
		return readDB(cfg, path)
	}
	cfg.Sentinel.Addrs = addrs
	master, db, both := strings.Cut(path, "/")
	if !both && isNumber(path) {
		master, db = "", path
	}
	if master != "" && p.fragment != "" && master != p.fragment {
		return errors.New("it has two different names for the master")
	}
	cfg.Sentinel.Master = master
	fill(&cfg.Sentinel.Master, p.fragment)
	return readDB(cfg, db)
}

func readDB(cfg *Config, db string) error {
	if db == "" {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return errors.New("the path must be the number of a database, as in redis://host:6379/2")
	}
	cfg.DB = n
	return nil
}

// parsePath reads the path of a socket that stands for itself.
func parsePath(raw string) (Config, error) {
	if strings.HasPrefix(raw, "//") || strings.ContainsAny(raw, "@?#\r\n\x00") {
		return Config{}, errors.New("a path alone has no special characters: for anything more write unix:///path/to.sock?…")
	}
	return Config{Addr: raw}, nil
}

// parseAddr reads the short form, host[:port].
func parseAddr(raw string, sentinel bool) (Config, error) {
	if strings.ContainsAny(raw, "@/?#, \t\r\n") {
		return Config{}, errors.New("without a scheme only host:port is understood: for anything more write redis://…")
	}
	if net.ParseIP(raw) != nil && strings.Contains(raw, ":") {
		raw = "[" + raw + "]"
	}
	if sentinel {
		addr, err := parseHost(raw, sentinelPort)
		return Config{Sentinel: Sentinel{Addrs: []string{addr}}}, err
	}
	addr, err := parseHost(raw, redisPort)
	return Config{Addr: addr}, err
}

// parseHost reads host, host:port, [IPv6] or [IPv6]:port.
func parseHost(raw, defaultPort string) (string, error) {
	host, port := raw, ""
	if end := strings.LastIndexByte(raw, ']'); strings.HasPrefix(raw, "[") && end > 0 {
		host, port = raw[1:end], raw[end+1:]
		literal, zone, _ := strings.Cut(host, "%")
		if net.ParseIP(literal) == nil || !strings.Contains(literal, ":") {
			return "", errors.New("what is in brackets is no IPv6 address")
		}
		if zone = strings.TrimPrefix(zone, "25"); zone != "" {
			host = literal + "%" + zone
		}
		if port != "" && port[0] != ':' {
			return "", errors.New("want a colon and a port behind the brackets")
		}
	} else if colon := strings.IndexByte(raw, ':'); colon >= 0 {
		host, port = raw[:colon], raw[colon:]
	}
	if port = strings.TrimPrefix(port, ":"); port == "" {
		port = defaultPort
	}
	if host == "" {
		host = "localhost"
	}
	addr := net.JoinHostPort(host, port)
	return addr, CheckAddr(addr)
}

// CheckAddr checks a host:port without quoting it.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("want host:port, and an IPv6 host in brackets")
	}
	for _, r := range host {
		if r <= ' ' || strings.ContainsRune(`@/?#,"'<>\^{|}`+"`\x7f", r) {
			return errors.New("the host has a character that no host has: percent-encode special characters in user name and password")
		}
	}
	if strings.Contains(host, "%") && !strings.Contains(host, ":") {
		return errors.New("the host has a % in it")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// isWord reports whether s can be quoted: it looks like a name and not like a
// password that has got into the wrong place.
func isWord(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, b := range []byte(strings.ToLower(s)) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && !strings.ContainsRune("_-+.", rune(b)) {
			return false
		}
	}
	return true
}

// cutAny cuts s in front of the first of these characters.
func cutAny(s, chars string) (before, from string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}
