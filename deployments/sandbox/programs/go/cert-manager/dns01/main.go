// Answers for one DNS zone on loopback. cert-manager adds TXT records by dynamic updates (RFC 2136), without a
// key, and the ACME server and cert-manager read them. The zone has nothing else but its SOA record.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

const ttl = 1 // second

type zone struct {
	name  string
	mutex sync.Mutex
	texts map[string][]string // by owner name
}

func main() {
	address := flag.String("address", "127.0.0.1:5353", "host:port, for UDP and TCP")
	name := flag.String("zone", "example.org", "name of the zone")
	flag.Parse()

	served := &zone{name: dns.CanonicalName(*name), texts: map[string][]string{}}
	failed := make(chan error)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: *address, Net: network, Handler: served, MsgAcceptFunc: accept}
		go func() { failed <- server.ListenAndServe() }()
	}
	fmt.Fprintln(os.Stderr, <-failed)
	os.Exit(1)
}

// accept also takes updates, which the library refuses by default.
func accept(header dns.Header) dns.MsgAcceptAction {
	if operation := int(header.Bits>>11) & 0xF; operation == dns.OpcodeUpdate {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(header)
}

func (z *zone) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	z.mutex.Lock()
	defer z.mutex.Unlock()
	response := new(dns.Msg).SetReply(request)
	response.Authoritative = true
	switch {
	case len(request.Question) != 1 || !dns.IsSubDomain(z.name, request.Question[0].Name):
		response.Rcode = dns.RcodeRefused
	case request.Opcode == dns.OpcodeUpdate:
		z.update(request.Ns)
	default:
		z.answer(response, request.Question[0])
	}
	if err := writer.WriteMsg(response); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// update adds records of class IN; class NONE deletes one record and class ANY all of a name (RFC 2136, 2.5).
func (z *zone) update(records []dns.RR) {
	for _, record := range records {
		name := dns.CanonicalName(record.Header().Name)
		text := ""
		if typed, ok := record.(*dns.TXT); ok && len(typed.Txt) > 0 {
			text = typed.Txt[0]
		}
		others := slices.DeleteFunc(z.texts[name], func(one string) bool { return one == text })
		switch record.Header().Class {
		case dns.ClassINET:
			z.texts[name] = append(others, text)
		case dns.ClassNONE:
			z.texts[name] = others
		case dns.ClassANY:
			z.texts[name] = nil
		}
	}
}

func (z *zone) answer(response *dns.Msg, question dns.Question) {
	name := dns.CanonicalName(question.Name)
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: ttl}
	switch {
	case question.Qtype == dns.TypeSOA && name == z.name:
		response.Answer = []dns.RR{&dns.SOA{
			Hdr: header, Ns: z.name, Mbox: z.name, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: ttl,
		}}
	case question.Qtype == dns.TypeTXT:
		for _, text := range z.texts[name] {
			response.Answer = append(response.Answer, &dns.TXT{Hdr: header, Txt: []string{text}})
		}
	}
}
