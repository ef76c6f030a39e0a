// Loads certificates as a Go server does, and verifies them as a Go client does, in one handshake each.
//
// It reads a list of cases as JSON and answers with each one's error; empty where there was none.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"time"
)

type chain struct {
	Certificate, Key, Root []byte
	Name                   string
	Now                    time.Time
}

func main() {
	cases, errors := map[string]chain{}, map[string]string{}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	for name, one := range cases {
		errors[name] = ""
		if err := handshake(one); err != nil {
			errors[name] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(errors); err != nil {
		panic(err)
	}
}

func handshake(of chain) error {
	pair, err := tls.X509KeyPair(of.Certificate, of.Key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(of.Root)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	defer listener.Close()
	go serve(listener)
	clock := func() time.Time { return of.Now }
	verifying := &tls.Config{RootCAs: roots, ServerName: of.Name, Time: clock}
	connection, err := tls.Dial("tcp", listener.Addr().String(), verifying)
	if err != nil {
		return err
	}
	return connection.Close()
}

func serve(listener net.Listener) {
	connection, err := listener.Accept()
	if err != nil {
		return
	}
	defer connection.Close()
	io.Copy(io.Discard, connection)
}
