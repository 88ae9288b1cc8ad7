//! The API's own JSON.

use pki_core::PresentedNames;
use pki_core::kubernetes::{
    CertificateSigningRequestSpec, CertificateSigningRequestStatus, ConditionType, NodeAddress, NodeAddressType,
    recognise,
};
use serde_json::{from_value, json, to_value};

use crate::names;

#[test]
fn a_specification_reads_and_writes_as_in_the_api() {
    let object = json!({
        "request": "LS0tLS1CRUdJTg==",
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "expirationSeconds": 86400,
        "usages": ["digital signature", "client auth"],
        "username": "system:node:node-1",
        "uid": "42",
        "groups": ["system:nodes", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=ab"]}
    });
    let spec: CertificateSigningRequestSpec = from_value(object.clone()).unwrap();
    assert_eq!(spec.request, b"-----BEGIN");
    assert_eq!((spec.expiration_seconds, spec.requestor().unwrap().username), (Some(86_400), "system:node:node-1"));
    assert_eq!(to_value(&spec).unwrap(), object);

    let small = json!({"request": "", "signerName": "example.com/a"});
    let spec: CertificateSigningRequestSpec = from_value(small.clone()).unwrap();
    assert_eq!((spec.requestor(), &spec.usages), (None, &Vec::new()));
    assert_eq!(to_value(&spec).unwrap(), small);
}

#[test]
fn a_request_that_is_not_base64_is_no_specification() {
    let object = json!({"request": "-----BEGIN", "signerName": "example.com/a"});
    let error = from_value::<CertificateSigningRequestSpec>(object).unwrap_err();
    assert_eq!(error.to_string(), "not base64 (RFC 4648 4)");
}

#[test]
fn a_status_reads_and_writes_as_in_the_api() {
    let object = json!({
        "conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved", "message": "m"}],
        "certificate": "LS0tLS1CRUdJTg=="
    });
    let status: CertificateSigningRequestStatus = from_value(object.clone()).unwrap();
    assert!(status.has(ConditionType::Approved));
    assert_eq!(status.certificate, b"-----BEGIN");
    assert_eq!(to_value(&status).unwrap(), object);
    let with_times = json!({"conditions": [{"type": "Denied", "lastUpdateTime": "2024-01-01T00:00:00Z"}]});
    assert!(from_value::<CertificateSigningRequestStatus>(with_times).unwrap().has(ConditionType::Denied));
    assert_eq!(to_value(CertificateSigningRequestStatus::default()).unwrap(), json!({}));
}

#[test]
fn a_review_is_written_as_the_authorizer_takes_it() {
    let spec = CertificateSigningRequestSpec {
        signer_name: "kubernetes.io/kube-apiserver-client-kubelet".into(),
        usages: vec!["digital signature".into(), "client auth".into()],
        username: "system:bootstrap:abcdef".into(),
        groups: vec!["system:bootstrappers".into()],
        ..CertificateSigningRequestSpec::default()
    };
    let reviews = recognise(&spec, &names("system:node:node-1", &["system:nodes"]));
    assert_eq!(
        to_value(&reviews[0].spec).unwrap(),
        json!({
            "resourceAttributes": {
                "verb": "create",
                "group": "certificates.k8s.io",
                "version": "*",
                "resource": "certificatesigningrequests",
                "subresource": "nodeclient"
            },
            "user": "system:bootstrap:abcdef",
            "groups": ["system:bootstrappers"]
        })
    );
}

#[test]
fn addresses_and_names_read_as_they_stand_in_objects() {
    let address: NodeAddress = from_value(json!({"type": "InternalIP", "address": "10.0.0.1"})).unwrap();
    assert_eq!((address.address_type, address.address.as_str()), (NodeAddressType::InternalIP, "10.0.0.1"));
    let presented: PresentedNames = from_value(json!({"commonName": "a", "ipAddresses": ["10.0.0.1"]})).unwrap();
    assert_eq!(presented.ip_addresses.len(), 1);
}
