//go:build linux

package chaos

import (
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

// TestMain is also that of the clients, which are this program once more.
func TestMain(m *testing.M) {
	if orders := os.Getenv(ordersVariable); orders != "" {
		os.Exit(runClient(orders))
	}
	redistest.Main(m)
}
