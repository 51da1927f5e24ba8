using System.Buffers.Binary;
using Loom.Raft;

namespace Loom.Store.Leases;

/// <summary>
/// All leases at one moment, as a checkpoint or snapshot holds them. Their keys are not here: each record names its lease.
/// Ascending by (expiry, id), so that equal tables have equal bytes:
/// <code>
///   0 u8 format = 1 | 1 u32 count | then per lease 24 bytes: i64 id | i64 granted seconds | i64 expiry in cluster time, ns
/// </code>
/// Little-endian, without a checksum of its own: <see cref="Applying.MachineState"/> says who guards it.
/// </summary>
internal sealed class LeaseTerms
{
    private const byte Format = 1;
    private const int HeaderBytes = 5;
    private const int LeaseBytes = 24;

    private readonly LeaseTerm[] terms;

    /// <param name="terms">In order; given over.</param>
    public LeaseTerms(LeaseTerm[] terms) => this.terms = terms;

    public static LeaseTerms Empty { get; } = new([]);

    public IReadOnlyList<LeaseTerm> All => terms;

    public int EncodedBytes => HeaderBytes + (terms.Length * LeaseBytes);

    public static int Compare(in LeaseTerm x, in LeaseTerm y) => x.Expiry != y.Expiry ? x.Expiry.CompareTo(y.Expiry) : x.Id.CompareTo(y.Id);

    public void Encode(Span<byte> bytes)
    {
        bytes[0] = Format;
        BinaryPrimitives.WriteInt32LittleEndian(bytes[1..], terms.Length);
        for (int i = 0; i < terms.Length; i++)
        {
            Encode(terms[i], bytes.Slice(HeaderBytes + (i * LeaseBytes), LeaseBytes));
        }
    }

    /// <summary>24 bytes.</summary>
    public static void Encode(in LeaseTerm term, Span<byte> place)
    {
        BinaryPrimitives.WriteInt64LittleEndian(place, term.Id);
        BinaryPrimitives.WriteInt64LittleEndian(place[8..], term.GrantedSeconds);
        BinaryPrimitives.WriteInt64LittleEndian(place[16..], term.Expiry);
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static LeaseTerms Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        if (bytes[0] != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The table of leases has format {bytes[0]}; this version of Loom knows {Format}. Start the version of Loom that wrote it.");
        }

        uint count = BinaryPrimitives.ReadUInt32LittleEndian(bytes[1..]);
        if (count > LeaseTable.MaxLeases || bytes.Length != HeaderBytes + (count * LeaseBytes))
        {
            throw Damaged($"{count} leases in {bytes.Length} bytes");
        }

        var terms = new LeaseTerm[count];
        for (int i = 0; i < terms.Length; i++)
        {
            ReadOnlySpan<byte> place = bytes.Slice(HeaderBytes + (i * LeaseBytes), LeaseBytes);
            terms[i] = new LeaseTerm(BinaryPrimitives.ReadInt64LittleEndian(place), BinaryPrimitives.ReadInt64LittleEndian(place[8..]), BinaryPrimitives.ReadInt64LittleEndian(place[16..]));
            if (terms[i].Id == 0 || terms[i].GrantedSeconds is < 1 or > LeaseTerm.MaxSeconds || terms[i].Expiry < 0)
            {
                throw Damaged($"{terms[i]}");
            }

            if (i > 0 && Compare(terms[i - 1], terms[i]) >= 0)
            {
                throw Damaged("leases out of order");
            }
        }

        return new LeaseTerms(terms);
    }

    internal static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The table of leases is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");
}
