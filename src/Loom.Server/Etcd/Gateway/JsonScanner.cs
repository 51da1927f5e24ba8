using System.Globalization;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// Finds the end of a JSON value, byte by byte, so that a body may hold several and arrive in pieces. What is wrong is said in the words of Go's encoding/json, which etcd's gateway answers with.
/// It knows one value's structure only; what the value means is the parser's business.
/// </summary>
internal sealed class JsonScanner
{
    /// <summary>Arrays and objects inside each other. protobuf itself reads no deeper.</summary>
    public const int MaxDepth = 100;

    private const string BeginningOfValue = "looking for beginning of value";
    private const string InString = "in string literal";
    private const string InNumber = "in numeric literal";

    private enum State
    {
        Value,
        ValueOrEndOfArray,
        KeyOrEndOfObject,
        Key,
        String,
        Escape,
        Hex,
        Minus,
        Zero,
        Digits,
        Point,
        Fraction,
        Exponent,
        ExponentSign,
        ExponentDigits,
        Literal,
        AfterKey,
        AfterValue,
        Done,
    }

    // One entry per open array or object: whether it is an object.
    private readonly bool[] objects = new bool[MaxDepth];
    private State state;
    private int depth;
    private int hexDigits;
    private string literal = "";
    private int literalLength;
    private bool stringIsKey;

    /// <summary>What is wrong with the last byte; null: nothing.</summary>
    public string? Error { get; private set; }

    /// <summary>True: the value ended with the last byte, or (a number) before it.</summary>
    public bool IsDone => state == State.Done;

    /// <summary>True: a number that ended before the last byte, which belongs to what follows.</summary>
    public bool EndedBefore { get; private set; }

    /// <summary>True when the body may end here: a number at the top needs nothing behind it.</summary>
    public bool MayEnd => depth == 0 && state is (State.Zero or State.Digits or State.Fraction or State.ExponentDigits or State.Done);

    /// <summary>How many values have begun: the one at the top, and those in it.</summary>
    public int Values { get; private set; }

    public void Reset()
    {
        Values = 0;
        state = State.Value;
        depth = 0;
        Error = null;
        EndedBefore = false;
    }

    /// <summary>Takes the next byte. False: <see cref="Error"/> says why it cannot follow.</summary>
    public bool Take(byte next)
    {
        switch (state)
        {
            case State.Value or State.ValueOrEndOfArray:
                return IsSpace(next) || (state == State.ValueOrEndOfArray && next == ']' ? Close() : Begin(next));
            case State.KeyOrEndOfObject or State.Key:
                return IsSpace(next) || (state == State.KeyOrEndOfObject && next == '}' ? Close() : BeginKey(next));
            case State.String or State.Escape or State.Hex:
                return TakeString(next);
            case State.Literal:
                return TakeLiteral(next);
            case State.AfterKey:
                return IsSpace(next) || (next == ':' ? Go(State.Value) : Fail(next, "after object key"));
            case State.AfterValue:
                return TakeAfterValue(next);
            default:
                return TakeNumber(next);
        }
    }

    private static bool IsSpace(byte next) => next is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n';

    private bool Begin(byte next)
    {
        Values++;
        switch (next)
        {
            case (byte)'{':
                return Open(isObject: true);
            case (byte)'[':
                return Open(isObject: false);
            case (byte)'"':
                stringIsKey = false;
                return Go(State.String);
            case (byte)'-':
                return Go(State.Minus);
            case (byte)'0':
                return Go(State.Zero);
            case >= (byte)'1' and <= (byte)'9':
                return Go(State.Digits);
            case (byte)'t' or (byte)'f' or (byte)'n':
                literal = next == 't' ? "true" : next == 'f' ? "false" : "null";
                literalLength = 1;
                return Go(State.Literal);
            default:
                return Fail(next, BeginningOfValue);
        }
    }

    private bool BeginKey(byte next)
    {
        stringIsKey = true;
        return next == '"' ? Go(State.String) : Fail(next, "looking for beginning of object key string");
    }

    private bool Open(bool isObject)
    {
        if (depth == MaxDepth)
        {
            Error = "exceeded max depth";
            return false;
        }

        objects[depth++] = isObject;
        return Go(isObject ? State.KeyOrEndOfObject : State.ValueOrEndOfArray);
    }

    private bool Close()
    {
        depth--;
        return EndValue();
    }

    private bool EndValue() => Go(depth == 0 ? State.Done : State.AfterValue);

    private bool TakeString(byte next)
    {
        switch (state)
        {
            case State.String when next == '"':
                return stringIsKey ? Go(State.AfterKey) : EndValue();
            case State.String when next == '\\':
                return Go(State.Escape);
            case State.String:
                return next >= 0x20 || Fail(next, InString);
            case State.Escape when next == 'u':
                hexDigits = 0;
                return Go(State.Hex);
            case State.Escape:
                return "bfnrt\\/\"".Contains((char)next, StringComparison.Ordinal) ? Go(State.String) : Fail(next, "in string escape code");
            default:
                return !char.IsAsciiHexDigit((char)next) ? Fail(next, "in \\u hexadecimal character escape") : ++hexDigits < 4 || Go(State.String);
        }
    }

    private bool TakeLiteral(byte next)
    {
        if (next != literal[literalLength])
        {
            return Fail(next, $"in literal {literal} (expecting '{literal[literalLength]}')");
        }

        return ++literalLength < literal.Length || EndValue();
    }

    private bool TakeAfterValue(byte next)
    {
        if (IsSpace(next))
        {
            return true;
        }

        bool isObject = objects[depth - 1];
        if (next == ',')
        {
            return Go(isObject ? State.Key : State.Value);
        }

        return next == (isObject ? '}' : ']') ? Close() : Fail(next, isObject ? "after object key:value pair" : "after array element");
    }

    private bool TakeNumber(byte next)
    {
        bool digit = next is >= (byte)'0' and <= (byte)'9';
        return state switch
        {
            State.Minus => digit ? Go(next == '0' ? State.Zero : State.Digits) : Fail(next, InNumber),
            State.Point => digit ? Go(State.Fraction) : Fail(next, "after decimal point in numeric literal"),
            State.Exponent when next is (byte)'+' or (byte)'-' => Go(State.ExponentSign),
            State.Exponent or State.ExponentSign => digit ? Go(State.ExponentDigits) : Fail(next, "in exponent of numeric literal"),
            State.Digits or State.Fraction or State.ExponentDigits when digit => true,
            State.Zero or State.Digits when next == '.' => Go(State.Point),
            State.Zero or State.Digits or State.Fraction when next is (byte)'e' or (byte)'E' => Go(State.Exponent),
            _ => EndNumber(next),
        };
    }

    private bool EndNumber(byte next)
    {
        EndValue();
        if (depth > 0)
        {
            return Take(next);
        }

        EndedBefore = true;
        return true;
    }

    private bool Go(State next)
    {
        state = next;
        return true;
    }

    private bool Fail(byte next, string where)
    {
        string quoted = next switch
        {
            (byte)'\'' => @"'\''",
            (byte)'"' => "'\"'",
            (byte)'\\' => @"'\\'",
            (byte)'\n' => @"'\n'",
            (byte)'\r' => @"'\r'",
            (byte)'\t' => @"'\t'",
            < 0x20 or 0x7f => string.Create(CultureInfo.InvariantCulture, $@"'\x{next:x2}'"),
            _ => $"'{(char)next}'",
        };
        Error = $"invalid character {quoted} {where}";
        return false;
    }
}
