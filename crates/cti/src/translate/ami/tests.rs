//! Sequences of Asterisk events, as its versions 18 to 22 send them, with made-up numbers.

use crate::test_feed::{Feed, box_call};

const CONFIG: &str = "[exchange]\nkind = 'asterisk'\naddress = 'pbx:5038'\nuser = 'u'\n\
    secret = 's'\n[calls]\ndevices = ['1001', '1002']\n";

/// Events from lines of `Name: value` pairs, separated by `|`. A line that begins with
/// `|` continues the one above.
fn events(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n").replace("\n|", "|");
    let lines = text.lines();
    lines.map(|line| line.replace('|', "\r\n") + "\r\n\r\n").collect()
}

/// A feed that has logged in to an exchange without channels.
fn logged_in(config: &str) -> Feed {
    let mut feed = Feed::new(config);
    let text = events(
        "Response: Success|ActionID: hushbox-login
         Event: CoreShowChannelsComplete|ActionID: hushbox-list|ListItems: 0",
    );
    let greeting = "Asterisk Call Manager/7.0.3\r\n";
    assert!(feed.lines_after(&(greeting.to_owned() + &text)).is_empty());
    feed
}

/// A call from outside through a queue to 1001, up to the answer.
const QUEUE_CALL: &str = "
    Event: Newchannel|Channel: PJSIP/trunk-00000001|ChannelState: 4|CallerIDNum: 5551234
      |Exten: 800|Uniqueid: 1.1|Linkedid: 1.1
    Event: QueueCallerJoin|Channel: PJSIP/trunk-00000001|Queue: support|Uniqueid: 1.1
      |Linkedid: 1.1
    Event: Newchannel|Channel: PJSIP/1001-00000002|ChannelState: 0|CallerIDNum: <unknown>
      |ConnectedLineNum: <unknown>|Exten: |Uniqueid: 1.2|Linkedid: 1.1
    Event: NewConnectedLine|Channel: PJSIP/1001-00000002|ChannelState: 0
      |ConnectedLineNum: 5551234|Uniqueid: 1.2|Linkedid: 1.1
    Event: Newstate|Channel: PJSIP/1001-00000002|ChannelState: 5|Uniqueid: 1.2|Linkedid: 1.1";

const ANSWER: &str = "
    Event: Newstate|Channel: PJSIP/1001-00000002|ChannelState: 6|Uniqueid: 1.2|Linkedid: 1.1
    Event: AgentConnect|Queue: support|Uniqueid: 1.1|Linkedid: 1.1|DestUniqueid: 1.2
      |MemberName: jdoe";

#[test]
fn queue_call_begins_at_the_answer_with_caller_number_and_queue() {
    let mut feed = logged_in(CONFIG);
    assert!(feed.lines_after(&events(QUEUE_CALL)).is_empty(), "it only rings");
    assert_eq!(
        feed.lines_after(&events(ANSWER)),
        ["call start device=1001 call=ast-1.2 ani=5551234 dnis=800 direction=in group=support \
          gate=support"]
    );
    let hold = "Event: Hold|Channel: PJSIP/1001-00000002|Uniqueid: 1.2|Linkedid: 1.1";
    assert_eq!(feed.lines_after(&events(hold)), ["call hold device=1001 call=ast-1.2"]);
    let unhold = hold.replace("Hold|", "Unhold|");
    assert_eq!(feed.lines_after(&events(&unhold)), ["call resume device=1001 call=ast-1.2"]);
    let hangup = "Event: Hangup|Channel: PJSIP/1001-00000002|Uniqueid: 1.2|Linkedid: 1.1";
    assert_eq!(feed.lines_after(&events(hangup)), ["call stop device=1001 call=ast-1.2"]);
    let trunk = "Event: Hangup|Channel: PJSIP/trunk-00000001|Uniqueid: 1.1|Linkedid: 1.1";
    assert!(feed.lines_after(&events(trunk)).is_empty(), "the trunk is no device");
}

#[test]
fn ringing_begins_a_call_and_a_member_owns_it_where_configured() {
    let mut feed = logged_in(&(CONFIG.to_owned() + "begin = 'ring'\nagents = true\n"));
    let lines = feed.lines_after(&events(QUEUE_CALL));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("call start device=1001 call=ast-1.2 ani=5551234"), "{lines:?}");
    let lines = feed.lines_after(&events(ANSWER));
    assert_eq!(lines, ["call update device=1001 call=ast-1.2 agent=jdoe"]);
}

#[test]
fn outgoing_call_has_the_dialled_number_and_click_to_dial_too() {
    let mut feed = logged_in(CONFIG);
    let text = "
        Event: Newchannel|Channel: PJSIP/1001-00000003|ChannelState: 4|CallerIDNum: 1001
          |Exten: 0305559876|Uniqueid: 2.1|Linkedid: 2.1
        Event: Newchannel|Channel: PJSIP/trunk-00000004|ChannelState: 0|Exten: |Uniqueid: 2.2
          |Linkedid: 2.1
        Event: Newstate|Channel: PJSIP/1001-00000003|ChannelState: 6|Uniqueid: 2.1
          |Linkedid: 2.1";
    assert_eq!(
        feed.lines_after(&events(text)),
        ["call start device=1001 call=ast-2.1 ani=1001 dnis=0305559876 direction=out"]
    );
    let text = "
        Event: Newchannel|Channel: SIP/1002-00000005|ChannelState: 0|CallerIDNum: 1002
          |Exten: s|Uniqueid: 3.1|Linkedid: 3.1
        Event: DialBegin|Channel: SIP/1002-00000005|Uniqueid: 3.1|Linkedid: 3.1
          |DestUniqueid: 3.2|DestCallerIDNum: <unknown>|DialString: PJSIP/trunk/0305550000@x
        Event: Newstate|Channel: SIP/1002-00000005|ChannelState: 6|Uniqueid: 3.1|Linkedid: 3.1";
    assert_eq!(
        feed.lines_after(&events(text)),
        ["call start device=1002 call=ast-3.1 ani=1002 dnis=0305550000 direction=out"]
    );
}

#[test]
fn attended_transfer_is_a_consult_leg_and_moves_the_caller_to_the_second_agent() {
    let mut feed = logged_in(CONFIG);
    feed.lines_after(&events(&(QUEUE_CALL.to_owned() + ANSWER)));
    let consult = "
        Event: Hold|Channel: PJSIP/1001-00000002|Uniqueid: 1.2|Linkedid: 1.1
        Event: Newchannel|Channel: PJSIP/1001-00000006|ChannelState: 4|CallerIDNum: 1001
          |Exten: 1002|Uniqueid: 4.1|Linkedid: 4.1
        Event: Newchannel|Channel: PJSIP/1002-00000007|ChannelState: 0|ConnectedLineNum: 1001
          |Exten: |Uniqueid: 4.2|Linkedid: 4.1
        Event: Newstate|Channel: PJSIP/1002-00000007|ChannelState: 6|Uniqueid: 4.2|Linkedid: 4.1
        Event: Newstate|Channel: PJSIP/1001-00000006|ChannelState: 6|Uniqueid: 4.1
          |Linkedid: 4.1";
    assert_eq!(
        feed.lines_after(&events(consult)),
        [
            "call hold device=1001 call=ast-1.2",
            "call start device=1002 call=ast-4.2 ani=1001 dnis=1002 direction=in",
            "call start device=1001 call=ast-4.1 of=ast-1.2 ani=1001 dnis=1002 direction=out",
        ]
    );
    let transfer = "
        Event: BridgeEnter|Channel: PJSIP/1002-00000007|Uniqueid: 4.2|Linkedid: 1.1
          |ConnectedLineNum: 5551234
        Event: Hangup|Channel: PJSIP/1001-00000006|Uniqueid: 4.1|Linkedid: 1.1
        Event: Hangup|Channel: PJSIP/1001-00000002|Uniqueid: 1.2|Linkedid: 1.1";
    assert_eq!(
        feed.lines_after(&events(transfer)),
        [
            "call update device=1002 call=ast-4.2 ani=5551234 dnis=800 group=support gate=support",
            "call stop device=1001 call=ast-4.1",
            "call stop device=1001 call=ast-1.2",
        ]
    );
}

#[test]
fn inner_channels_are_no_calls_and_a_renamed_channel_changes_its_device() {
    let mut feed = logged_in(CONFIG);
    let text = "
        Event: Newchannel|Channel: Local/1001@queue-00000001;1|ChannelState: 6|Uniqueid: 5.1
          |Linkedid: 5.1
        Event: Newchannel|Channel: PJSIP/1001-00000008<ZOMBIE>|ChannelState: 6|Uniqueid: 5.2
          |Linkedid: 5.1
        Event: Newchannel|Channel: PJSIP/1001-00000009|ChannelState: 6|Exten: 1|Uniqueid: 5.3
          |Linkedid: 5.3";
    let lines = feed.lines_after(&events(text));
    assert_eq!(lines, ["call start device=1001 call=ast-5.3 dnis=1 direction=out"]);
    let text =
        "Event: Rename|Channel: PJSIP/1001-00000009|Newname: PJSIP/1002-00000010|Uniqueid: 5.3";
    assert_eq!(
        feed.lines_after(&events(text)),
        [
            "call stop device=1001 call=ast-5.3",
            "call start device=1002 call=ast-5.3 dnis=1 direction=out"
        ]
    );
}

/// The list of channels after a restart: 1001 talks to a caller who came through the queue.
const LIST: &str = "
    Response: Success|ActionID: hushbox-login
    Event: CoreShowChannel|ActionID: hushbox-list|Channel: PJSIP/trunk-00000001
      |ChannelState: 6|CallerIDNum: 5551234|Exten: 800|Application: Queue
      |ApplicationData: support,t|Uniqueid: 1.1|Linkedid: 1.1
    Event: CoreShowChannel|ActionID: hushbox-list|Channel: PJSIP/1001-00000002|ChannelState: 6
      |ConnectedLineNum: 5551234|Exten: |Application: AppQueue|Uniqueid: 1.2|Linkedid: 1.1
    Event: CoreShowChannelsComplete|ActionID: hushbox-list|ListItems: 2";

#[test]
fn restart_tells_the_difference_between_the_list_and_the_box() {
    let mut feed = Feed::new(CONFIG);
    let calls = [box_call("1001", "ast-1.2", false), box_call("1002", "ast-0.7", false)];
    let foreign = box_call("1002", "other-1", false);
    let all = [calls[0].clone(), calls[1].clone(), foreign];
    assert!(feed.reconnect_box(&all).is_empty(), "nothing ends before the list is complete");
    let mut lines = feed.lines_after(&events(LIST));
    lines.sort();
    assert_eq!(
        lines,
        [
            "call stop device=1002 call=ast-0.7",
            "call update device=1001 call=ast-1.2 ani=5551234 dnis=800 direction=in group=support \
             gate=support",
        ]
    );
}

#[test]
fn lost_connection_ends_calls_that_the_next_list_lacks() {
    let mut feed = logged_in(CONFIG);
    feed.lines_after(&events(&(QUEUE_CALL.to_owned() + ANSWER)));
    feed.session.begin();
    assert!(feed.output().contains("Action: Login\r\n"));
    assert!(feed.lines_after(&events(LIST)).is_empty(), "all as before");
    feed.session.begin();
    let empty = "
        Response: Success|ActionID: hushbox-login
        Event: CoreShowChannelsComplete|ActionID: hushbox-list";
    assert_eq!(feed.lines_after(&events(empty)), ["call stop device=1001 call=ast-1.2"]);
}

#[test]
fn channel_that_an_event_names_during_the_list_stays() {
    let mut feed = logged_in(CONFIG);
    feed.lines_after(&events(&(QUEUE_CALL.to_owned() + ANSWER)));
    feed.session.begin();
    let text = "
        Response: Success|ActionID: hushbox-login
        Event: Newstate|Channel: PJSIP/1001-00000002|ChannelState: 6|Uniqueid: 1.2|Linkedid: 1.1
        Event: CoreShowChannelsComplete|ActionID: hushbox-list";
    assert!(feed.lines_after(&events(text)).is_empty());
}
