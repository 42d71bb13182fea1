package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// tlsSource makes the TLS side of connections. Certificates that are in files
// are read anew for each, so that they may be replaced while we run.
type tlsSource struct {
	base                      *tls.Config
	caFile, certFile, keyFile string
}

// newTLSSources returns the sources for the master and for the sentinels, nil
// where there is no TLS, and reads the files once, to see that they are good.
func newTLSSources(cfg Config) (master, sentinel *tlsSource, err error) {
	files := cfg.CAFile != "" || cfg.CertFile != "" || cfg.ServerName != ""
	if cfg.TLS != nil || files && cfg.Sentinel.TLS == nil {
		if master, err = cfg.newTLSSource(cfg.TLS); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(cfg.Sentinel.Addrs) == 0, cfg.Sentinel.Plain:
	case cfg.Sentinel.TLS != nil:
		sentinel, err = cfg.newTLSSource(cfg.Sentinel.TLS)
	default:
		sentinel = master
	}
	return master, sentinel, err
}

func (c Config) newTLSSource(base *tls.Config) (*tlsSource, error) {
	s := &tlsSource{base: tlsConfigOf(base), caFile: c.CAFile, certFile: c.CertFile, keyFile: c.KeyFile}
	switch {
	case s.base.MaxVersion != 0 && s.base.MaxVersion < tls.VersionTLS12:
		return nil, errors.New("TLS.MaxVersion is below TLS 1.2, which is the least that is spoken")
	case c.CAFile != "" && s.base.RootCAs != nil:
		return nil, errors.New("CAFile and TLS.RootCAs are both given")
	case c.CertFile != "" && (len(s.base.Certificates) > 0 || s.base.GetClientCertificate != nil):
		return nil, errors.New("CertFile and a certificate in TLS are both given")
	case c.ServerName != "" && s.base.ServerName != "" && c.ServerName != s.base.ServerName:
		return nil, errors.New("ServerName and TLS.ServerName are both given, and differ")
	case c.ServerName != "":
		s.base.ServerName = c.ServerName
	}
	_, err := s.config()
	return s, err
}

// config is the base with what the files say now.
func (s *tlsSource) config() (*tls.Config, error) {
	c := s.base.Clone()
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("the CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s has no certificate in PEM", s.caFile)
		}
	}
	if s.certFile != "" {
		cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// Client shakes hands as a client of the server at addr.
func (s *tlsSource) client(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr) // "" for a socket: then the handshake says what is missing
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}
