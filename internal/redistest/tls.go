package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority is a certificate authority that lives as long as a test.
type Authority struct {
	t      testing.TB
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	CAFile string // its certificate, PEM
}

// NewAuthority makes one, with a new key.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	template := certificate("redistest CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	var der []byte
	der, a.key = a.sign(template, template, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("redistest: parse the certificate that was made: %v", err)
	}
	a.CAFile = a.write("ca.crt", "CERTIFICATE", der)
	return a
}

// Issue makes a certificate for these hosts (names or addresses), for servers and clients, and returns its files.
func (a *Authority) Issue(name string, hosts ...string) (certFile, keyFile string) {
	a.t.Helper()
	template := certificate(name)
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, key := a.sign(template, a.cert, a.key)
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatalf("x509.MarshalECPrivateKey: %v", err)
	}
	return a.write(name+".crt", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", encoded)
}

// Config is a client's that trusts this authority and nobody else.
func (a *Authority) Config() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots}
}

func certificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) // cannot happen
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a key and has the parent's key sign for it; without one it signs itself.
func (a *Authority) sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatalf("ecdsa.GenerateKey: %v", err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatalf("x509.CreateCertificate: %v", err)
	}
	return der, key
}

func (a *Authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatalf("os.WriteFile: %v", err)
	}
	return path
}

// StartTLS is Start with a TLS port on 127.0.0.1 beside the unix socket, and a certificate of a for that address. It
// returns the TLS address. Clients must show a certificate of a if mutual is true.
func StartTLS(t testing.TB, a *Authority, mutual bool, args ...string) (s *Server, addr string) {
	t.Helper()
	cert, key := a.Issue("server", "127.0.0.1", "redis.test")
	auth := "no"
	if mutual {
		auth = "yes"
	}
	return startBeside(t, "127.0.0.1", func(port string) []string {
		return append([]string{
			"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
			"--tls-ca-cert-file", a.CAFile, "--tls-auth-clients", auth,
		}, args...)
	})
}

// StartIPv6 is Start with a port on ::1 beside the unix socket. It skips the test where there is no ::1.
func StartIPv6(t testing.TB, args ...string) (s *Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("redistest: this machine has no IPv6 loopback: %v", err)
	}
	_ = l.Close()
	return startBeside(t, "::1", func(port string) []string { return append([]string{"--port", port}, args...) })
}

// startBeside starts a server that listens on its unix socket and on a port of host.
func startBeside(t testing.TB, host string, args func(port string) []string) (s *Server, addr string) {
	t.Helper()
	requireRedis(t)
	for try := 1; ; try++ {
		free, err := freeAddr()
		if err != nil {
			t.Fatalf("freeAddr: %v", err)
		}
		_, port, _ := strings.Cut(free, ":")
		s := newServer(t, append([]string{"--bind", host}, args(port)...))
		if err = s.listenUnix(); err == nil {
			err = s.start()
		}
		if err == nil {
			return s, net.JoinHostPort(host, port)
		}
		if try == 5 || !errors.Is(err, errPortTaken) {
			t.Fatalf("redistest: start a TLS server: %v", err)
		}
	}
}
