using Loom.Raft.Membership;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>
/// Goal: no order of events forms two clusters of one list (E1, N5). Method: three to five voters and up to two standbys exchange hellos that are lost, doubled, and delivered long after they were
/// said, to later processes too; processes end between "on disk" and "said"; in half of the runs one voter's disk is emptied at any time. Then all links heal.
/// </summary>
public sealed class RandomFormationTests
{
    private static int formedEarly, formedLate, never;

    [Test]
    public void Whatever_happens_one_configuration_forms_and_without_a_lost_disk_everybody_joins_it()
    {
        (formedEarly, formedLate, never) = (0, 0, 0);
        for (int seed = 0; seed < 1200; seed++) new Run(seed).Go();
        Assert.That(new[] { formedEarly, formedLate, never }, Is.All.GreaterThan(20), "all three ends of a run with an emptied disk were met");
    }

    private sealed class Run
    {
        private readonly int seed;
        private readonly Random random;
        private readonly FormingMember[] members;
        private readonly int voters;
        private readonly List<(FormingMember To, PeerHello? Hello, FormingMember From, HelloAnswer? Answer)> wire = [];
        private readonly SortedSet<ulong> formed = [];
        private FormingMember? emptied;
        private bool formedBefore;

        public Run(int seed)
        {
            this.seed = seed;
            random = new Random(seed);
            voters = random.Next(3, 6);
            InitialMember[] list = [.. Enumerable.Range(0, voters + random.Next(3)).Select(i => new InitialMember($"m{i}", "dc", i < voters ? MemberRole.Voter : MemberRole.Standby, [$"http://m{i}:1"]))];
            members = [.. list.Select(m => new FormingMember(m.Name, (ulong)random.NextInt64(1, long.MaxValue), list))];
        }

        public void Go()
        {
            int steps = random.Next(20, 400), emptyAt = seed % 2 == 0 ? -1 : random.Next(steps);
            // A few members are slow to write, so that hellos of all stages are about.
            int patience = random.Next(1, 12);
            for (int step = 0; step < steps; step++)
            {
                if (step == emptyAt) Empty();
                else Step(patience);
                Check();
            }
            wire.Clear();
            Heal();
            Judge();
        }

        private void Step(int patience)
        {
            FormingMember one = Any(), two = Any();
            switch (random.Next(14 + patience))
            {
                case 0 or 1:
                    // The process ends, perhaps between the disk and the word.
                    if (random.Next(2) == 0) _ = one.Write();
                    one.Boot();
                    break;
                case < 4:
                    if (one.Write()) one.Say();
                    break;
                case < 8 when one != two:
                    wire.Add((two, one.Formation.Hello(two.Id, LaneKind.Control), one, null));
                    break;
                default:
                    if (wire.Count > 0) Deliver();
                    break;
            }
        }

        private void Deliver()
        {
            int at = random.Next(3) == 0 ? random.Next(wire.Count) : wire.Count - 1;
            (FormingMember to, PeerHello? hello, FormingMember from, HelloAnswer? answer) = wire[at];
            if (random.Next(4) != 0) wire.RemoveAt(at);
            if (random.Next(8) == 0) return;
            if (hello is not null) wire.Add((from, null, to, to.Formation.Judge(hello, out _)));
            else Note(to, to.Formation.Answered(from.Id, answer!));
        }

        private void Note(FormingMember at, HelloAnswer outcome)
        {
            if (outcome.Verdict != HelloVerdict.Accepted || at.Formed is null) return;
            Member peer = at.Formed.Find(outcome.Self.From)!;
            Assert.That(peer.Role == MemberRole.Standby || peer.Incarnation == outcome.Self.Incarnation, $"seed {seed}: {at.Name} let an emptied directory in");
        }

        private void Empty()
        {
            emptied = members[random.Next(voters)];
            formedBefore = members.Any(m => m.Formed is not null);
            emptied.Empty((ulong)random.NextInt64(1, long.MaxValue));
        }

        private void Check()
        {
            foreach (FormingMember member in members.Where(m => m.Formed is not null))
            {
                // What a disk that was emptied had formed counts too: it may have served.
                formed.Add(member.ClusterId);
                Member self = member.Formed!.Find(member.Id)!;
                Assert.That(self.Role == MemberRole.Standby || self.Incarnation == member.Incarnation, $"seed {seed}: {member.Name} formed without being pinned");
            }
            Assert.That(formed, Has.Count.LessThan(2), $"seed {seed}: two clusters");
        }

        private void Heal()
        {
            for (int round = 0; round < 12; round++)
            {
                foreach (FormingMember one in members)
                {
                    foreach (FormingMember two in members.Where(m => m != one)) Note(one, one.Dial(two));
                    one.Settle();
                    Check();
                }
            }
        }

        private void Judge()
        {
            FormingMember[] out_ = [.. members.Where(m => m.Formed is null)];
            if (emptied is null)
            {
                Assert.That(out_, Is.Empty, $"seed {seed}: nothing was lost, and {string.Join(", ", out_.Select(m => $"{m.Name}: {m.Formation.Obstacle}"))}");
                return;
            }
            if (formed.Count > 0 && members.Any(m => m.Formed is not null))
            {
                Assert.That(out_.All(m => m == emptied), $"seed {seed}: who kept its disk is in");
                Assert.That(out_.All(m => m.Formation.Obstacle!.Contains("emptied or replaced", StringComparison.Ordinal)), $"seed {seed}");
                _ = formedBefore ? formedEarly++ : formedLate++;
                return;
            }
            never++;
            FormingMember[] mute = [.. members.Take(voters).Where(m => !m.Formation.Obstacle!.Contains("emptied or replaced before the cluster had formed", StringComparison.Ordinal))];
            Assert.That(mute, Is.Empty, $"seed {seed}: every voter tells the remedy");
        }

        private FormingMember Any() => members[random.Next(members.Length)];
    }
}
