namespace DistTrain.Ingest;

/// <summary>A list of a <see cref="SequenceExample"/>: a feature for each step, read where it lies in the record.</summary>
public readonly ref struct FeatureList
{
    private readonly ReadOnlySpan<byte> _record;
    private readonly MapEntry _entry;
    private readonly SourceLocation _source;

    internal FeatureList(ReadOnlySpan<byte> record, scoped in MapEntry entry, scoped in SourceLocation source)
    {
        _record = record;
        _entry = entry;
        _source = source;
    }

    /// <summary>Its name, in UTF-8.</summary>
    public ReadOnlySpan<byte> Key => _entry.Key(_record);

    /// <summary>How many steps it has; passes over the list.</summary>
    public int CountSteps()
    {
        int count = 0;
        Enumerator steps = GetEnumerator();
        while (steps.TryPass()) count++;
        return count;
    }

    /// <summary>The feature of a step, counted from 0. Takes time proportional to the step; <c>foreach</c> goes through all.</summary>
    /// <exception cref="DataFormatException">The list is shorter.</exception>
    public Feature GetStep(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        Enumerator steps = GetEnumerator();
        for (int i = 0; i < step; i++)
            if (!steps.TryPass()) throw TooShort(step);
        return steps.MoveNext() ? steps.Current : throw TooShort(step);
    }

    /// <summary>Copies the floats of all steps, row-major [steps, values].</summary>
    /// <param name="destination">As many steps as are there must fit in.</param>
    /// <param name="valuesPerStep">Each step must have as many.</param>
    /// <returns>The number of steps.</returns>
    /// <exception cref="DataFormatException">A step has other values, or more or fewer; or there are more steps than there is room for.</exception>
    public int CopyFloats(Span<float> destination, int valuesPerStep = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(valuesPerStep);
        int step = 0;
        foreach (Feature feature in this)
        {
            CheckStep(feature, FeatureKind.Float, step, valuesPerStep, destination.Length);
            feature.CopyFloats(destination.Slice(step++ * valuesPerStep, valuesPerStep));
        }
        return step;
    }

    /// <summary>Copies the integers of all steps, row-major [steps, values].</summary>
    /// <inheritdoc cref="CopyFloats"/>
    public int CopyInt64s(Span<long> destination, int valuesPerStep = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(valuesPerStep);
        int step = 0;
        foreach (Feature feature in this)
        {
            CheckStep(feature, FeatureKind.Int64, step, valuesPerStep, destination.Length);
            feature.CopyInt64s(destination.Slice(step++ * valuesPerStep, valuesPerStep));
        }
        return step;
    }

    /// <summary>The steps in order.</summary>
    public Enumerator GetEnumerator() => new(_record, _entry, _source);

    private DataFormatException TooShort(int step) => Whole().Error($"has {CountSteps():N0} steps, step {step:N0} was asked for");

    private Feature Whole() => new(_record, new FeatureSlot { KeyStart = _entry.KeyStart, KeyLength = _entry.KeyLength }, _source);

    private static void CheckStep(Feature feature, FeatureKind kind, int step, int valuesPerStep, int room)
    {
        if (feature.Kind != kind || feature.Count != valuesPerStep)
            throw feature.Error($"has {Feature.Describe(feature.Kind, feature.Count)} in step {step}, expected {Feature.Describe(kind, valuesPerStep)}");
        if ((step + 1L) * valuesPerStep > room) throw feature.Error($"has more steps of {valuesPerStep} values than there is room for: {room / valuesPerStep}");
    }

    /// <summary>Goes through the steps of a list.</summary>
    public ref struct Enumerator
    {
        private readonly MapEntry _entry;
        private readonly SourceLocation _source;
        private WireReader _reader;
        private FeatureSlot _slot;
        private bool _isInside;
        private int _outerEnd;

        internal Enumerator(ReadOnlySpan<byte> record, scoped in MapEntry entry, scoped in SourceLocation source)
        {
            _entry = entry;
            _source = source;
            _reader = new WireReader(record, source, entry.Start, entry.End);
        }

        /// <summary>The feature of the current step.</summary>
        public readonly Feature Current => new(_reader.Record, _slot, _source);

        /// <summary>Goes on to the next step.</summary>
        public bool MoveNext()
        {
            if (!TryPass(out int start, out int length)) return false;
            _slot = FeatureSlot.Find(_reader.Record, _source, start, length, _entry);
            return true;
        }

        internal bool TryPass() => TryPass(out _, out _);

        // An entry may hold the list in parts.
        private bool TryPass(out int start, out int length)
        {
            (start, length) = (0, 0);
            while (true)
            {
                if (_reader.AtEnd)
                {
                    if (!_isInside) return false;
                    _reader.Leave(_outerEnd);
                    _isInside = false;
                    continue;
                }
                uint tag = _reader.ReadTag();
                if (_isInside && tag == FeatureTags.Step)
                {
                    _reader.PassBytes(out start, out length);
                    return true;
                }
                if (_isInside || tag != FeatureTags.Value) _reader.Skip(tag);
                else
                {
                    _outerEnd = _reader.Enter();
                    _isInside = true;
                }
            }
        }
    }
}
